// What is pointed at, focused or pinned: an expression lights its instructions, a group of instructions lights its text. A
// pinned expression is in the address, so that it can be passed on.

let pinned = null;  // {expression} or {group}

function clearLit() {
  for (const element of document.querySelectorAll('.lit, .origin')) element.classList.remove('lit', 'origin');
  for (const element of document.querySelectorAll('.found')) element.hidden = true;
  for (const element of document.querySelectorAll('[data-pin]')) element.setAttribute('aria-pressed', 'false');
}

function lightExpressions(indices) {
  for (const index of indices)
    for (const element of document.querySelectorAll(`[data-expression="${index}"]`)) element.classList.add('lit');
}

function lightGroups(list) {
  for (const group of list) group.element.classList.add('lit');
  for (const [block, count] of countGroups(list).perBlock) {
    const found = block.element.querySelector('.found');
    found.hidden = false;
    found.textContent = `${number(count)} lit`;
  }
}

function makeJump(block, count) {
  const jump = make('button', {type: 'button'}, `${block.function}/${nameOf(block)}: ${number(count)}`);
  jump.addEventListener('click', () => {
    block.element.open = true;
    const target = block.element.querySelector('.group.lit') ?? block.element;
    target.scrollIntoView({block: 'center'});
    target.focus({preventScroll: true});
  });
  return jump;
}

function describeExpression(index, list) {
  const {text, level} = expressions[index];
  const {instructions, perBlock} = countGroups(list);
  const jumps = [...perBlock].map(([block, count]) => makeJump(block, count));
  return [
    make(
        'p', {}, make(`span.letter.${level}`, {}, levelOf.get(level).letter), ' ', make('code', {}, text.replace(/\s+/g, ' '))),
    make('p.muted', {}, levelOf.get(level).meaning),
    make(
        'p', {},
        instructions === 0 ? 'No instruction is its alone.' :
                             `${plural(instructions, 'instruction')} in ${plural(perBlock.size, 'block')}:`),
    make('div.jumps', {}, jumps)
  ];
}

function describeGroup(group) {
  const {part, expression} = origins[group.origin];
  return [
    make('p', {}, make('b', {}, part), ` in ${group.block.function}/${nameOf(group.block)}`),
    expression ? make('p', {}, make('code', {}, expression.text)) : null
  ].filter((child) => child !== null);
}

function show(selection) {
  clearLit();
  const panel = document.getElementById('selection');
  if (selection === null) {
    panel.replaceChildren(make('p.muted', {}, 'Point at a part of the text, or at instructions of it.'));
  } else if (selection.expression !== undefined) {
    const list = groupsOf(selection.expression);
    lightExpressions([selection.expression]);
    for (const element of document.querySelectorAll(`[data-expression="${selection.expression}"]`))
      element.classList.add('origin');
    document.querySelector(`[data-pin="${selection.expression}"]`)?.setAttribute('aria-pressed', String(selection === pinned));
    lightGroups(list);
    panel.replaceChildren(...describeExpression(selection.expression, list));
  } else {
    const group = groups[selection.group];
    lightExpressions(expressionsOf(group));
    lightGroups([group]);
    panel.replaceChildren(...describeGroup(group));
  }
  panel.classList.toggle('pinned', selection !== null && selection === pinned);
}

function selectionAt(target) {
  const element = target instanceof Element ? target.closest('[data-expression], [data-group], [data-pin]') : null;
  if (element === null) return null;
  const {expression, pin, group} = element.dataset;
  return group !== undefined ? {group: Number(group)} : {expression: Number(expression ?? pin)};
}

function pin(selection) {
  pinned = selection;
  history.replaceState(null, '', pinned?.expression !== undefined ? `#expression-${pinned.expression}` : location.pathname);
  show(pinned);
}

function same(a, b) { return a !== null && b !== null && a.expression === b.expression && a.group === b.group; }

function togglePin(selection) { pin(same(selection, pinned) ? null : selection); }

function followAddress() {
  const match = /^#expression-(\d+)$/.exec(location.hash);
  if (match === null || Number(match[1]) >= expressions.length) return;
  pinned = {expression: Number(match[1])};
  show(pinned);
}

function connect() {
  const hover = (event) => {
    if (pinned === null) show(selectionAt(event.target));
  };
  document.addEventListener('mouseover', hover);
  document.addEventListener('focusin', hover);
  document.addEventListener('click', (event) => {
    const selection = getSelection().isCollapsed ? selectionAt(event.target) : null;  // else a text is being copied
    if (selection !== null) togglePin(selection);
  });
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && pinned !== null) pin(null);
    const selection = event.key === 'Enter' && !(event.target instanceof HTMLButtonElement) ? selectionAt(event.target) : null;
    if (selection === null) return;
    event.preventDefault();
    togglePin(selection);
  });
  window.addEventListener('hashchange', followAddress);
  show(null);
  followAddress();
}
