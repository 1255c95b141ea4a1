// Machine code by block, each group of instructions under what it is for, beside the text; and what belongs together.

const functions = views.asm.functions;
const origins = views.asm.origins;

function sameExpression(a, b) {
  return a.source === b.source && a.line === b.line && a.column === b.column && a.length === b.length;
}

// By origin: the number of its expression, or null.
const originExpressions = origins.map((origin) => {
  if (origin.expression === null) return null;
  const index = expressions.findIndex((expression) => sameExpression(expression, origin.expression));
  return index < 0 ? null : index;
});

// All groups in the order of the code: {block, group, element}. Elements follow when the section is drawn.
const blocks = functions.flatMap((f) => f.blocks.map((block) => ({function: f.name, ...block})));
const groups = blocks.flatMap((block) => block.groups.map((group) => ({block, ...group})));

// Which groups compute an expression: its own and those of its parts. `score` itself is what the products make.
function groupsOf(index) {
  const wanted = expressions[index];
  const matches = origins.map((origin, i) => {
    const found = originExpressions[i];
    if (found !== null && contains(wanted, expressions[found])) return true;
    if (origin.node !== null && wanted.nodes.includes(origin.node)) return true;
    return wanted.op === 'score' && wanted.nodes.length > 0 && origin.part === 'Q K';
  });
  return groups.filter((group) => !group.spill && matches[group.origin]);
}

// Which expressions a group computes: the one it carries, and others that stand for the same value.
function expressionsOf(group) {
  const {node, part} = origins[group.origin];
  const own = originExpressions[group.origin];
  return expressions.flatMap(
      (expression, i) =>
          i === own || (node !== null && expression.nodes.includes(node)) || (part === 'Q K' && expression.op === 'score') ?
          [i] :
          []);
}

function countGroups(list) {
  const perBlock = new Map();
  let instructions = 0;
  for (const group of list) {
    instructions += group.lines.length;
    perBlock.set(group.block, (perBlock.get(group.block) ?? 0) + group.lines.length);
  }
  return {instructions, perBlock};
}

const sharesByLabel =
    new Map((views.roofline.blocks ??
             []).map((block) => [`${block.function}/${block.label}`, block.cycles / views.roofline.predicted_cycles]));
function shareOf(block) { return sharesByLabel.get(`${block.function}/${block.label}`) ?? null; }

function nameOf(block) { return block.name || block.label; }

function makeGroup(group, index) {
  const origin = origins[group.origin];
  const expression = originExpressions[group.origin];
  const title = make(
      'p.group-title', {}, make('span.part', {}, group.spill ? 'spilled register' : origin.part ?? 'not known'),
      origin.expression && !group.spill ?
          make(`code.${expression === null ? 'plain' : expressions[expression].level}`, {}, origin.expression.text) :
          null,
      group.inferred ? make('span.muted', {}, 'by its neighbours') : null);
  const lines = group.lines.map((line) => {
    const space = line.search(/\s/);
    return space < 0 ? make('span.instruction', {}, make('b', {}, line)) :
                       make('span.instruction', {}, make('b', {}, line.slice(0, space)), line.slice(space));
  });
  const linked = expressionsOf(group).length > 0 && !group.spill;
  const element = make(
      linked ? 'div.group.linked' : 'div.group', linked ? {tabindex: '0', 'data-group': index} : {}, title,
      make('pre', {}, lines));
  group.element = element;
  return element;
}

function makeBlock(block) {
  const count = block.groups.reduce((sum, group) => sum + group.lines.length, 0);
  const spills = block.groups.reduce((sum, group) => sum + (group.spill ? group.lines.length : 0), 0);
  const share = shareOf(block);
  const facts = [
    make('span.fact', {}, plural(count, 'instruction')),
    block.cost ? make('span.fact', {}, `${number(block.cost.cycles, 1)} cycles a pass`) : null,
    block.cost && block.loop_depth > 0 ? make('span.fact', {}, `bound by ${block.cost.bottleneck}`) : null,
    spills > 0 ? make('span.fact.warning', {}, plural(spills, 'spill')) : null,
    make('span.fact.found', {hidden: ''}),
  ];
  const heat = share === null || share < 0.0005 ?
      null :
      make(
          'span.heat', {title: 'share of the cycles that the model predicts for the call'}, `${number(100 * share, 1)} %`,
          makeBar(share));
  const depth =
      block.loop_depth > 0 ? make('span.depth', {title: `loop depth ${block.loop_depth}`}, `loop ${block.loop_depth}`) : null;
  const summary =
      make('summary', {}, make('span.block-name', {}, nameOf(block)), depth, make('span.block-facts', {}, facts), heat);
  const details = make('details.block', {id: `block-${blocks.indexOf(block)}`}, summary);
  details.style.setProperty('--depth', block.loop_depth);
  const list = groups.filter((group) => group.block === block);
  details.append(make('div.groups', {}, list.map((group) => makeGroup(group, groups.indexOf(group)))));
  const text = list.some((group) => originExpressions[group.origin] !== null);
  details.open = (text && block.loop_depth > 0) || (share !== null && share >= 0.05);
  block.element = details;
  return details;
}

// From a table to the first block of that name.
function makeBlockLink(functionName, name) {
  const words = make('code', {}, `${functionName}/${name}`);
  const block = blocks.find((candidate) => candidate.function === functionName && nameOf(candidate) === name);
  if (block === undefined) return words;
  const link = make('a', {href: `#${block.element.id}`}, words);
  link.addEventListener('click', () => {
    block.element.open = true;
  });
  return link;
}

function setAllOpen(open) {
  for (const block of blocks) block.element.open = open;
}

function drawAssembly() {
  const button = (label, act) => {
    const element = make('button', {type: 'button'}, label);
    element.addEventListener('click', act);
    return element;
  };
  const tools =
      make('p.tools', {}, button('Open all blocks', () => setAllOpen(true)), button('Close all', () => setAllOpen(false)));
  const listings = functions.map(
      (f) => make(
          'section.function', {'aria-label': f.name}, make('h3', {}, f.name),
          blocks.filter((block) => block.function === f.name).map(makeBlock)));
  const aside = make(
      'aside', {'aria-label': 'The text, beside its machine code'}, makeSource(false),
      make('div.selection', {id: 'selection', 'aria-live': 'polite'}));
  const percent = views.asm.loop_instructions === 0 ? 100 : 100 * views.asm.attributed / views.asm.loop_instructions;
  addSection(
      'code', 'Machine code',
      `Blocks in the order of the code; those are open that compute the pattern in a loop, or take a twentieth of the predicted cycles, of which the bars show the shares. Point at a part of the text to see its instructions, or the other way round. ${
          number(percent, 1)} % of the instructions in loops have what they are for.`,
      tools, make('div.workbench', {}, aside, make('div.listing', {}, listings)));
}
