// The views that are tables: the machine model, spills, the plan, times; and those that are texts.

function busiestPorts(ports) {
  return Object.entries(ports)
      .sort(([, a], [, b]) => b - a)
      .slice(0, 3)
      .map(([port, busy]) => `${port} ${number(busy, 1)}`)
      .join(', ');
}

function makeLoopRows(loops) {
  return loops.map(
      (loop) =>
          [makeBlockLink(loop.function, loop.block), number(loop.depth), number(loop.instructions), number(loop.cost.micro_ops),
           number(loop.cost.cycles, 1), loop.percent_of_peak > 0 ? `${number(loop.percent_of_peak, 1)} %` : '',
           loop.cost.bottleneck, busiestPorts(loop.cost.ports)]);
}

function drawModel() {
  const {processor, loops, peak_multiply_adds: peak} = views.mca;
  if (processor === null) {
    addSection('model', 'Machine model', null, make('p', {}, 'LLVM has no model of this target that can be simulated.'));
    return;
  }
  const columns = [
    'Block', 'Depth', 'Instructions', 'Micro-operations', 'Cycles a pass', 'Of the peak', 'Bound by',
    'Busiest ports, cycles a pass'
  ].map((title, i) => ({title, number: i > 0 && i < 6}));
  const isProduct = (loop) => loop.percent_of_peak > 0;
  const large = loops.filter((loop) => isProduct(loop) || loop.cost.cycles >= 5);
  const rest = loops.filter((loop) => !large.includes(loop));
  addSection(
      'model', 'Machine model',
      `LLVM's model of ${processor}: at most ${number(peak, 1)} multiply-adds a cycle; loads hit the first cache.`,
      makeTable('Loops that multiply, or take five cycles a pass or more', columns, makeLoopRows(large)),
      rest.length === 0 ? null :
                          make(
                              'details.inner', {}, make('summary', {}, `${plural(rest.length, 'shorter block')} of loops`),
                              makeTable('Shorter blocks', columns, makeLoopRows(rest))));
}

function drawSpills() {
  const {blocks: spilling, remarks} = views.spills;
  const rows = [...spilling]
                   .sort((a, b) => b.loop_depth - a.loop_depth || b.spills - a.spills)
                   .map(
                       (block) =>
                           [makeBlockLink(block.function, block.block), number(block.loop_depth), number(block.spills),
                            number(block.instructions)]);
  const columns = [
    {title: 'Block'}, {title: 'Loop depth', number: true}, {title: 'Spills and reloads', number: true},
    {title: 'Instructions', number: true}
  ];
  const said = remarks.map(
      (remark) =>
          [remark.function, remark.expression ? `${remark.part}: ${remark.expression.text}` : remark.part ?? '',
           remark.message]);
  addSection(
      'spills', 'Spills', 'What did not fit into registers, innermost loops first.',
      rows.length > 0 ? makeTable('Instructions that spill or reload', columns, rows) : make('p', {}, 'Nothing is spilled.'),
      said.length === 0 ?
          null :
          make(
              'details.inner', {}, make('summary', {}, plural(said.length, 'remark') + ' of the register allocator'),
              makeTable('Remarks', [{title: 'Function'}, {title: 'At'}, {title: 'Remark'}], said)));
}

const registerUses = [
  ['accumulators', 'A', 'accumulator'], ['operands', 'K', 'vector of K or V'], ['broadcasts', 'B', 'broadcast'],
  ['products', 'P', 'product']
];

function makeRegisters(registers) {
  const cells = [];
  for (const [use, letter] of registerUses)
    for (let i = 0; i < registers[use]; ++i) cells.push(make(`span.register.${use}`, {}, letter));
  while (cells.length < registers.available) cells.push(make('span.register', {}, '·'));
  const words = registerUses.filter(([use]) => registers[use] > 0)
                    .map(([use, letter,
                           one]) => `${letter} ${registers[use]} ${registers[use] === 1 ? one : one.replace(/^\w+/, '$&s')}`);
  const text = `${words.join(', ')}; ${registers.available - registers.used} of ${registers.available} free`;
  return make(
      'figure.registers', {}, make('div', {'aria-hidden': 'true'}, cells),
      make('figcaption', {}, `Vector registers in the products: ${text}`));
}

function drawPlan() {
  const {text, json} = views.plan;
  addSection(
      'plan', 'Plan', 'Tiles, registers and scratch, and what bounds each number.', makeRegisters(json.registers),
      make('pre.view.scroll', {tabindex: '0'}, text));
}

function makeTimes(caption, times) {
  const total = times.reduce((sum, time) => sum + time.ms, 0);
  const rows = times.map(
      (time) =>
          [time.name, number(time.ms, 3), total > 0 ? `${number(100 * time.ms / total, 1)} %` : '',
           makeBar(total > 0 ? time.ms / total : 0)]);
  return makeTable(caption, [{title: 'Phase'}, {title: 'ms', number: true}, {title: 'Share', number: true}, {title: ''}], rows);
}

function drawTiming() {
  const {repetitions, phases, pass_groups: passes, total_ms: total} = views.timing;
  addSection(
      'timing', 'Compile time', `${number(total, 1)} ms from the text to loaded code.`,
      make(
          'div.beside', {}, makeTimes(`Phases, median of ${repetitions}`, phases),
          makeTimes('LLVM\'s code generation in a further run, by kinds of passes', passes)));
}

function drawTexts() {
  const entries = data.texts.map(
      ({name, description, text}) => make(
          'details.inner', {}, make('summary', {}, make('b', {}, name), make('span.muted', {}, ` ${description}`)),
          make('pre.view.scroll', {tabindex: '0'}, text)));
  addSection('stages', 'Stages', 'The pattern on its way to machine code, as text.', entries);
}
