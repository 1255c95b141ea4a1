// Elements from JavaScript, numbers as text, and sections. Texts of the pattern become text nodes only, never markup.

const data = JSON.parse(document.getElementById('report-data').textContent);
const views = data.views;

// make("td.number", {title: "..."}, child, ...): children are strings, elements, or null for nothing.
function make(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split('.');
  const element = document.createElement(tag);
  if (classes.length > 0) element.className = classes.join(' ');
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

function makeSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function number(value, digits = 0) {
  return value.toLocaleString('en', {minimumFractionDigits: digits, maximumFractionDigits: digits});
}

// Three digits that count: 16384 -> "16,384", 12.34 -> "12.3", 0.01234 -> "0.0123".
function brief(value) {
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return number(value, Math.min(digits, 6));
}

function plural(count, what) { return `${number(count)} ${what}${count === 1 ? '' : 's'}`; }

// columns: [{title, number: true where right-aligned}]; rows: arrays of strings and elements, the first one heads its row.
function makeTable(caption, columns, rows) {
  const style = (i) => (columns[i].number ? '.number' : '');
  const head = columns.map((column, i) => make('th' + style(i), {scope: 'col'}, column.title));
  const cell = (content, i) => (i === 0 ? make('th' + style(i), {scope: 'row'}, content) : make('td' + style(i), {}, content));
  const body = rows.map((row) => make('tr', {}, row.map(cell)));
  const table =
      make('table', {}, make('caption', {}, caption), make('thead', {}, make('tr', {}, head)), make('tbody', {}, body));
  return make('div.scroll', {tabindex: '0', role: 'region', 'aria-label': caption}, table);
}

// A share of a whole as a bar beside its number.
function makeBar(share) {
  const bar = make('span.bar', {'aria-hidden': 'true'}, make('span'));
  bar.firstChild.style.width = `${Math.max(0, Math.min(100, 100 * share))}%`;
  return bar;
}

// Appends a collapsible section and links it from the navigation.
function addSection(id, title, hint, ...content) {
  const heading = make('h2', {id: `${id}-title`}, title);
  const details = make('details', {open: ''}, make('summary', {}, heading), hint ? make('p.hint', {}, hint) : null, ...content);
  document.getElementById('main').append(make('section', {id, 'aria-labelledby': heading.id}, details));
  const link = make('a', {href: `#${id}`}, title);
  link.addEventListener('click', () => {
    details.open = true;
  });
  document.getElementById('sections').append(make('li', {}, link));
  return details;
}
