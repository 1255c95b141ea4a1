// Runs inside a report that Chromium has drawn: what a reader would do and see, as one JSON object in an element that the test
// reads from the dumped document.
(() => {
  const found = {errors: [...document.querySelectorAll('#not-drawn')].length};
  const all = (what, within = document) => [...within.querySelectorAll(what)];
  const litInstructions = () => all('.group.lit .instruction').map((element) => element.textContent);
  const press = (element, key) => element.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
  const expression = (text, within) => all(`${within} .expression`).find((element) => element.textContent === text);

  found.lit_by_address = litInstructions();
  press(document.body, 'Escape');
  found.lit_after_escape = litInstructions().length;

  const wanted = expression('slope[h] * d', '#source');
  if (wanted) {
    wanted.focus();
    found.lit_by_focus = litInstructions();
    press(wanted, 'Enter');
    document.body.dispatchEvent(new MouseEvent('mouseover', {bubbles: true}));
    found.lit_while_pinned = litInstructions();
    found.address = location.hash;
    press(wanted, 'Escape');
    expression('slope[h] * d', 'aside').dispatchEvent(new MouseEvent('mouseover', {bubbles: true}));
    found.lit_by_mouse = litInstructions();
  }
  const group = all('.group.linked').find((element) => element.querySelector('code')?.textContent === 'slope[h] * d');
  if (group) {
    group.closest('details').open = true;
    group.focus();
    found.text_lit_by_group = all('#source .expression.lit').map((element) => element.textContent);
  }

  found.sections = all('main > section').map((section) => section.id);
  found.dead_links = all('a[href^=\'#\']').filter((link) => document.getElementById(link.hash.slice(1)) === null).length;
  const ids = all('[id]').map((element) => element.id);
  found.repeated_ids = ids.filter((id, i) => ids.indexOf(id) !== i);
  const levels = all('h1, h2, h3').map((heading) => Number(heading.tagName[1]));
  found.headings_in_order = levels[0] === 1 && levels.every((level, i) => i === 0 || level <= levels[i - 1] + 1);
  found.tables_without_heads =
      all('table').filter((table) => all('thead th[scope=col]', table).length === 0 || table.caption === null).length;
  found.landmarks = ['header', 'nav', 'main', 'footer'].every((what) => document.querySelector(what) !== null);
  const reachable = 'a[href], button, summary, [tabindex=\'0\']';
  found.unreachable =
      all('[data-pin], [data-group], #source .expression').filter((element) => !element.matches(reachable)).length;
  found.invisible_focus = (() => {
    const link = document.querySelector('nav a');
    link.focus({focusVisible: true});
    return getComputedStyle(link).outlineStyle === 'none';
  })();

  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const background = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length === 3) return colour;
    }
    return [255, 255, 255];
  };
  const contrast = (a, b) => {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  for (const details of all('details')) details.open = true;
  const texts =
      all('body *:not(script):not(style):not(svg *)')
          .filter(
              (element) => [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim() !== ''));
  found.texts = texts.length;
  found.low_contrast = texts
                           .filter(
                               (element) => getComputedStyle(element).visibility !== 'hidden' &&
                                   contrast(numbers(getComputedStyle(element).color).slice(0, 3), background(element)) < 4.5)
                           .map((element) => `${element.tagName}.${element.className}`)
                           .filter((name, i, names) => names.indexOf(name) === i);
  found.page_luminance = luminance(background(document.body));
  found.wider_than_window = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  found.window = document.documentElement.clientWidth;
  found.resources = performance.getEntriesByType('resource').length;

  const result = document.createElement('pre');
  result.id = 'probe';
  result.textContent = encodeURIComponent(JSON.stringify(found));
  document.body.append(result);
})();
