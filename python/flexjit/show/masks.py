"""A block mask -> SVG, which notebooks show by themselves, and a figure of matplotlib. Both draw what BlockMask.picture counts:
cells of one or several blocks, empty, mixed or full."""
CELLS, SIDE, PLANES = 64, 256, 4  # cells and pixels of a side, planes that are drawn
COLOURS = {" ": "#f2f2f2", "+": "#8fb8de", "#": "#1f4e79"}
NAMES = {" ": "empty", "+": "partial", "#": "full"}


def rows_of(mask, b, h):
    return mask.picture(b=b, h=h, max_side=CELLS).rstrip("\n").split("\n")


def runs(row):
    """(first column, end, cell) of equal neighbours."""
    begin = 0
    for n in range(1, len(row) + 1):
        if n == len(row) or row[n] != row[begin]:
            yield begin, n, row[begin]
            begin = n


def plane_svg(mask, b, h, left, width, height):
    rows = rows_of(mask, b, h)
    columns = max(map(len, rows))
    across, down = width / columns, height / len(rows)
    parts = [f'<g transform="translate({left},18)"><text x="0" y="-5">b {b}, h {h}</text>',
             f'<rect width="{width:g}" height="{height:g}" fill="{COLOURS[" "]}" stroke="#999"/>']
    for n, row in enumerate(rows):
        parts += [f'<rect x="{begin * across:.2f}" y="{n * down:.2f}" width="{(end - begin) * across:.2f}" height="{down:.2f}" fill="{COLOURS[cell]}"/>'
                  for begin, end, cell in runs(row) if cell != " "]
    return "".join(parts) + "</g>"


def svg(mask):
    """The first planes of an engine's BlockMask, queries downwards and keys to the right, with its sizes and counts below."""
    batch, heads, q_len, kv_len, q_block, kv_block = mask.sizes
    scale = SIDE / max(q_len, kv_len, 1)
    width, height = max(8, kv_len * scale), max(8, q_len * scale)
    planes = [(n // heads, n % heads) for n in range(min(batch * heads, PLANES))]
    drawn = [plane_svg(mask, b, h, n * (width + 16), width, height) for n, (b, h) in enumerate(planes)]
    empty, partial, full = mask.counts
    more = f", the first {len(planes)} of {batch * heads} planes" if batch * heads > len(planes) else ""
    text = (f"{q_len} queries, {kv_len} keys, blocks of {q_block} x {kv_block}: {full} full, {partial} partial, {empty} empty "
            f"({mask.sparsity:.1f}%){more}")
    total = max(len(planes) * (width + 16) - 16, 6.2 * len(text))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{total + 2:.0f}" height="{height + 40:.0f}" font-family="sans-serif" font-size="12">'
            f'{"".join(drawn)}<text x="0" y="{height + 34:.0f}">{text}</text></svg>')


def figure(mask, b=0, h=0, ax=None):
    """Draws plane (b, h) of a BlockMask, flexjit's or flexjit.torch's, into matplotlib's axes `ax`, new ones where it is None, and
    returns them. Axes count tokens. Raises ImportError without matplotlib."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    if hasattr(mask, "engine_mask"):
        mask = mask.engine_mask()
    _, _, q_len, kv_len, q_block, kv_block = mask.sizes
    rows = rows_of(mask, b, h)
    cells = [[" +#".index(cell) for cell in row.ljust(max(map(len, rows)))] for row in rows]
    if ax is None:
        ax = plt.subplots()[1]
    ax.imshow(cells, cmap=ListedColormap(list(COLOURS.values())), vmin=0, vmax=2, extent=(0, kv_len, q_len, 0), interpolation="nearest", aspect="auto")
    ax.set(xlabel="key", ylabel="query", title=f"blocks of {q_block} x {kv_block}, {mask.sparsity:.1f}% empty")
    ax.legend(handles=[Patch(facecolor=COLOURS[cell], edgecolor="#999", label=NAMES[cell]) for cell in COLOURS], loc="upper left", bbox_to_anchor=(1.02, 1))
    return ax
