"""Attention over one sequence whose tokens lie on the processes of a torch.distributed group, with gradients: any score and mask,
tokens dealt so that the pairs that the mask leaves are as many on each process, and only keys that somebody needs sent. A ring as
mpi/attention has it: the keys of a process travel while those of the one before are computed with."""
import torch
import torch.distributed as dist

from .. import _core
from .._engine import default_engine
from .._patterns import index, pattern_of
from .agreement import Agreement
from .autograd import as_tensors
from .kernel import in_rows

TYPES = (torch.float32, torch.bfloat16, torch.float16)


class ContextParallel:
    """The attention of one mask over one length. Every method but `shard` is collective: all processes of the group call it in one
    order. positions: where this process's rows stand in the sequence, int64, ascending."""

    def __init__(self, score_mod, mask_mod, length, q_heads, kv_heads, batch, block_size, scale, dealing, group):
        self.group, self.rank, self.ranks = group, dist.get_rank(group), dist.get_world_size(group)
        self.agreement = Agreement(group)
        self.sizes = (batch, q_heads, kv_heads, length)
        self.block, self.scale, self.handles = block_size, scale, {}

        def prepare():
            self.pattern = pattern_of(score_mod, mask_mod)
            self.sizes = sizes = tuple(index(size, name) for size, name in zip(self.sizes, ("batch", "q_heads", "kv_heads", "length")))
            whole = default_engine().handle(self.pattern).core
            mask = whole.create_block_mask((sizes[0], sizes[1], sizes[3], sizes[3], block_size, block_size), self.pattern.bindings, sizes[2])
            self.layout = _core.deal(mask, self.ranks, dealing)
            self.steps = _core.ring_steps(mask, self.layout, self.rank, q_heads)
            self.computations = [(torch.tensor(one.positions, dtype=torch.int32), one.mask) for one in self.steps.computations]
            return repr((self.sizes, block_size, scale, self.pattern.keywords())).encode() + mask.to_bytes()

        self.agreement.on(prepare)
        self.positions = torch.tensor(self.steps.positions, dtype=torch.int64)
        self.rows = self.positions.to(torch.int32)

    def shard(self, whole, dim=2):
        """The rows of this process, of a tensor of the whole sequence. Differentiable."""
        return whole.index_select(dim, self.positions)

    def unshard(self, part, dim=2):
        """The whole on every process, of the rows of each. Without gradient."""
        part = part.detach().movedim(dim, 0)
        counts = [sum(min(self.block, self.sizes[3] - b * self.block) for b in blocks) for blocks in self.layout.blocks]
        parts = [part.new_empty((max(counts), *part.shape[1:])) for _ in counts]
        padded = parts[0].new_zeros(parts[0].shape)
        padded[:len(part)] = part
        dist.all_gather(parts, padded, group=self.group)
        whole = part.new_empty((self.sizes[3], *part.shape[1:]))
        for blocks, rows in zip(self.layout.blocks, parts):
            at = [i for b in blocks for i in range(b * self.block, min((b + 1) * self.block, self.sizes[3]))]
            whole[torch.tensor(at, dtype=torch.int64)] = rows[:len(at)]
        return whole.movedim(0, dim)

    def __call__(self, query, key, value, return_lse=False):
        """out (batch, q_heads, rows, v_head_dim) of query (batch, q_heads, rows, head_dim) over the keys and values of all processes, of
        which this one gives its rows (batch, kv_heads, rows, ...); with return_lse (out, lse), lse float32. Gradients of captured tensors
        are those of all processes on each. An error of one process is an error of all."""
        out, lse = Attend.apply(self, query, key, value, *as_tensors(self.pattern.bindings.values()))
        return (out, lse) if return_lse else out

    # What follows moves rows; autograd calls it.

    def prepared(self, q, k, v):
        """The tensors with dense rows, what they are of, and the handle of that."""
        batch, heads, kv_heads, _ = self.sizes
        rows = len(self.rows)
        for name, x, count in (("query", q, heads), ("key", k, kv_heads), ("value", v, kv_heads)):
            if x.dtype not in TYPES or x.device.type != "cpu":
                raise ValueError(f"{name} is a tensor on {x.device} of {x.dtype}; it must be on the processor, of float32, bfloat16 or float16")
            if x.dim() != 4 or tuple(x.shape[:3]) != (batch, count, rows):
                raise ValueError(f"{name} has shape {tuple(x.shape)}; the rows of this process make it {(batch, count, rows)} and a head_dim")
        q, k, v = in_rows(q), in_rows(k), in_rows(v)
        kind = (_core.dtype_name(q), _core.dtype_name(k), q.size(3), v.size(3))
        if kind not in self.handles:
            self.handles[kind] = _core.compile_shard(
                default_engine().core, **self.pattern.keywords(), dtype=kind[0], kv_dtype=kind[1], head_dim=kind[2], v_head_dim=kind[3],
                scale=self.scale, out_dtype="f32")
        return (q, k, v), kind, self.handles[kind]

    def bindings(self, captured, keys):
        batch, heads, kv_heads, length = self.sizes
        place = {"shard_q_positions": self.rows, "shard_kv_positions": keys, "shard_q_len": length, "shard_kv_len": length,
                 "shard_heads": heads, "shard_kv_heads": kv_heads}
        return {**dict(zip(self.pattern.bindings, captured)), **place}

    def keys_in_turn(self, k, v):
        """(keys, values) of each computation, while those of the next travel."""
        held, transfers = (k, v), self.steps.transfers
        for number in range(len(self.computations)):
            coming, messages = None, []
            if number < len(transfers):
                coming, messages = self.exchange(transfers[number], k, v)
            yield held
            for message in messages:
                message.wait()
            held = coming

    def exchange(self, transfer, k, v):
        coming, messages = [], []
        for tag, x in enumerate((k, v)):
            into = x.new_empty((*x.shape[:2], transfer.received_tokens, x.size(3)))
            leaving = rows_of(x, transfer.sent) if transfer.sent_tokens else None
            messages += self.messages(into, transfer.source, leaving, transfer.dest, tag)
            coming.append(into)
        return coming, messages

    def messages(self, coming, source, leaving, dest, tag):
        """None of no rows: both sides know the steps."""
        made = []
        if coming is not None and coming.numel():
            made.append(dist.irecv(coming, group=self.group, group_src=source, tag=tag))
        if leaving is not None and leaving.numel():
            made.append(Kept(dist.isend(leaving, group=self.group, group_dst=dest, tag=tag), leaving))
        return made

    def forward(self, q, k, v, captured, handle):
        """(out, lse) in float32, and the exception of this process's computations or None."""
        out, wrong, begun = q.new_zeros((*q.shape[:3], v.size(3)), dtype=torch.float32), None, False
        lse = torch.full(q.shape[:3], -torch.inf)
        for (positions, mask), (keys, values) in zip(self.computations, self.keys_in_turn(k, v)):
            if mask is None or wrong is not None:
                continue
            part, part_lse = (torch.empty_like(out), torch.empty_like(lse)) if begun else (out, lse)
            try:
                handle.run(q=q, k=keys, v=values, out=part, lse=part_lse, bindings=self.bindings(captured, positions), block_mask=mask)
                if begun:
                    _core.merge_states([out, part], [lse, part_lse], out, lse)
            except Exception as error:  # the others wait for our messages
                wrong = error
            begun = True
        return out, lse, wrong

    def backward(self, q, k, v, captured, handle, saved, names):
        """Gradients of q, k, v and of the captured `names`, float32, and the exception or None. saved: out, lse, grad_out, grad_lse."""
        out, lse, grad_out, grad_lse = saved
        dq, *of_keys = sums = [torch.zeros(x.shape) for x in (q, k, v)]
        of_captured = {name: torch.zeros(x.shape) for name, x in zip(self.pattern.bindings, captured) if name in names}
        wrong, home = None, None
        for number, ((positions, mask), (keys, values)) in enumerate(zip(self.computations, self.keys_in_turn(k, v))):
            parts = [torch.zeros(x.shape) for x in (q, keys, values)]
            into = {name: torch.empty_like(x) for name, x in of_captured.items()}
            if mask is not None and wrong is None:
                given = {"out": grad_out, "lse": grad_lse, **dict(zip("qkv", parts))}
                try:
                    handle.run_backward(given, into, q=q, k=keys, v=values, out=out, lse=lse, bindings=self.bindings(captured, positions),
                                        block_mask=mask)
                    dq += parts[0]
                    for name, total in of_captured.items():
                        total += into[name]
                except Exception as error:  # the others wait for our messages
                    wrong = error
            if number == 0:
                for part, total in zip(parts[1:], of_keys):
                    total += part
                continue
            if home is not None:
                self.receive(*home, of_keys)
            home = self.steps.transfers[number - 1], *self.send_home(self.steps.transfers[number - 1], parts[1:])
        if home is not None:
            self.receive(*home, of_keys)
        for total in of_captured.values():
            self.sum_in_order(total)
        return sums, of_captured, wrong

    def send_home(self, transfer, parts):
        """Gradients of the keys that came by the transfer, to their owner; and those of the keys that left by it, which come."""
        coming, messages = [], []
        for tag, part in enumerate(parts, start=2):
            coming.append(part.new_empty((*part.shape[:2], transfer.sent_tokens, part.size(3))))
            messages += self.messages(coming[-1], transfer.dest, part, transfer.source, tag)
        return coming, messages

    def receive(self, transfer, coming, messages, of_keys):
        """What comes, added in the order of the steps."""
        for message in messages:
            message.wait()
        for part, total in zip(coming, of_keys):
            at = 0
            for begin, count in transfer.sent:
                total[:, :, begin:begin + count] += part[:, :, at:at + count]
                at += count

    def sum_in_order(self, sums):
        parts = [torch.empty_like(sums) for _ in range(self.ranks)]
        dist.all_gather(parts, sums, group=self.group)
        sums.copy_(torch.stack(parts).double().sum(0))


class Kept:
    """A message with what it sends, which must live as long."""

    def __init__(self, message, tensor):
        self.message, self.tensor = message, tensor

    def wait(self):
        self.message.wait()


def rows_of(x, runs):
    return torch.cat([x[:, :, begin:begin + count] for begin, count in runs], 2).contiguous()


class Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx, parallel, q, k, v, *captured):
        tensors, _, handle = parallel.agreement.on(lambda: parallel.prepared(q, k, v), lambda found: repr(found[1]))
        out, lse, wrong = parallel.forward(*tensors, captured, handle)
        parallel.agreement.about(wrong)
        ctx.parallel, ctx.handle = parallel, handle
        ctx.save_for_backward(*tensors, out, lse, *captured)
        ctx.set_materialize_grads(False)
        return out.to(q.dtype), lse

    @staticmethod
    def backward(ctx, grad_out, grad_lse):
        parallel = ctx.parallel
        q, k, v, out, lse, *captured = ctx.saved_tensors
        grad_out = torch.zeros_like(out) if grad_out is None else in_rows(grad_out.float())
        grad_lse = None if grad_lse is None else grad_lse.float().contiguous()
        names = [name for name in parallel.pattern.bindings if name in parallel.pattern.traced_score and name in ctx.handle.gradient_buffers()]
        sums, of_captured, wrong = parallel.backward(q, k, v, captured, ctx.handle, (out, lse, grad_out, grad_lse), names)
        parallel.agreement.about(wrong)
        grads = [total.to(x.dtype) for total, x in zip(sums, (q, k, v))]
        return None, *grads, *[of_captured.get(name) for name in parallel.pattern.bindings]


def context_parallel(score_mod=None, mask_mod=None, *, length, q_heads, kv_heads=None, batch=1, block_size=128, scale=None, dealing="auto",
                     group=None):
    """A ContextParallel: attention(q, k, v) over `length` tokens that lie on the processes of `group` (default: all), forward and backward.
    score_mod, mask_mod: functions or texts, as flex_attention has them; they see positions of the whole sequence, and captured tensors
    are those of the whole on every process. dealing: "auto", "contiguous", "zigzag" or "dealt" (docs/distributed.md). Collective; raises
    on every process what one of them finds wrong."""
    return ContextParallel(score_mod, mask_mod, length, q_heads, q_heads if kv_heads is None else kv_heads, batch, block_size, scale, dealing, group)
