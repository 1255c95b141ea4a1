// The text of the pattern: its expressions as nested elements that can be pointed at, and below each line at which loop its
// parts are computed, by colour and by letter.

const expressions = views.source.expressions;
const levelOf = new Map(views.source.levels.map((level) => [level.name, level]));

function contains(outer, inner) {
  return outer.source === inner.source && outer.begin <= inner.begin && inner.end <= outer.end;
}

// The innermost other expression around each, or null. Outer ones come first in the list.
const parents = expressions.map((inner, i) => {
  for (let j = i - 1; j >= 0; --j)
    if (contains(expressions[j], inner)) return j;
  return null;
});

function ancestry(index) {
  const path = [];
  for (let at = index; at !== null; at = parents[at]) path.unshift(at);
  return path;
}

// `reachable`: only one of several copies of the text stops at Tab.
function makeExpression(index, reachable) {
  const {level} = expressions[index];
  const element = make(
      `span.expression.${level}`,
      {'data-expression': index, title: `${levelOf.get(level).letter}: ${levelOf.get(level).meaning}`});
  if (reachable) element.tabIndex = 0;
  return element;
}

function makeCode(runs, reachable) {
  const code = make('code');
  let open = [];  // [index, element] from the outermost on
  for (const run of runs) {
    const path = run.expression === null ? [] : ancestry(run.expression);
    let common = 0;
    while (common < open.length && common < path.length && open[common][0] === path[common]) ++common;
    open = open.slice(0, common);
    for (const index of path.slice(common)) {
      const element = makeExpression(index, reachable);
      (open.length > 0 ? open.at(-1)[1] : code).append(element);
      open.push([index, element]);
    }
    const comment = run.expression === null ? run.text.indexOf('#') : -1;
    const into = open.length > 0 ? open.at(-1)[1] : code;
    if (comment < 0)
      into.append(run.text);
    else
      into.append(run.text.slice(0, comment), make('span.comment', {}, run.text.slice(comment)));
  }
  return code;
}

// Hidden copies of the text keep the letters in their places whatever the font.
function makeLetters(runs) {
  const letters = make('div.letters', {'aria-hidden': 'true'});
  let last = null;
  for (const run of runs) {
    const level = run.expression === null ? null : expressions[run.expression].level;
    if (level === null || level !== last)
      letters.append(
          make(level === null ? 'span' : `span.${level}`, level === null ? {} : {'data-letter': levelOf.get(level).letter}));
    letters.lastChild.append(make('i', {}, run.text));
    last = level;
  }
  return letters;
}

function makeText(text, reachable) {
  const lines = text.lines.map((runs, i) => {
    const letters = runs.some((run) => run.expression !== null) ? makeLetters(runs) : null;
    return make(
        'div.line', {}, make('span.line-number', {'aria-hidden': 'true'}, String(i + 1)),
        make('div', {}, makeCode(runs, reachable), letters));
  });
  const title = views.source.texts.length > 1 ? make('p.file', {}, text.name) : null;
  return make('div.text', {}, title, make('div.lines.scroll', {}, lines));
}

function makeSource(reachable) { return make('div.source', {}, views.source.texts.map((text) => makeText(text, reachable))); }

function makeLegend() {
  const entry = (level) =>
      make('li', {}, make(`span.letter.${level.name}`, {}, level.letter), make('b', {}, level.name), ` ${level.meaning}`);
  return make('ul.legend', {'aria-label': 'At which loop'}, views.source.levels.map(entry));
}

function drawSource() {
  const rows = expressions.map((expression, i) => {
    const level = levelOf.get(expression.level);
    const {instructions} = countGroups(groupsOf(i));
    const button = make(
        'button.expression-button', {type: 'button', 'data-pin': i, 'aria-pressed': 'false'},
        make('code', {}, expression.text.replace(/\s+/g, ' ')));
    return [
      button, `${expression.line}:${expression.column}`,
      make('span', {}, make(`span.letter.${level.name}`, {}, level.letter), ` ${level.name}`),
      instructions > 0 ? number(instructions) : ''
    ];
  });
  const columns = [{title: 'Expression'}, {title: 'Line:column'}, {title: 'Loop'}, {title: 'Instructions', number: true}];
  const table = make(
      'details.inner', {}, make('summary', {}, `All ${plural(expressions.length, 'expression')}`),
      makeTable(
          'Expressions, the loop that computes each, and the instructions that do; choose one to see them', columns, rows));
  addSection(
      'source', 'Source', 'Colour, line and letter below the text say how often the kernel computes each part.',
      make('div.beside', {}, makeSource(true), makeLegend()), table);
}
