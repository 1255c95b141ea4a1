// The mask picture and the roofline.

function drawMask() {
  const picture = make('div.mask-picture', {
    role: 'img',
    'aria-label': `Block mask of ${data.pattern}: ${views.mask.full} full, ${views.mask.partial} partial, ${
        views.mask.empty} empty blocks`
  });
  // A tree of its own: the picture has its own style sheet.
  const svg = new DOMParser().parseFromString(data.mask_svg, 'image/svg+xml').documentElement;
  svg.setAttribute('width', '100%');
  svg.removeAttribute('height');
  picture.attachShadow({mode: 'open'}).append(document.importNode(svg, true));
  addSection(
      'mask', 'Block mask', 'Empty blocks are skipped, full ones need no mask, partial ones evaluate it.',
      make('div.scroll', {tabindex: '0', role: 'region', 'aria-label': 'Picture of the block mask'}, picture));
}

// A rectangle of the drawing whose axes are logarithmic.
class LogPlot {
  constructor(x, y) {
    Object.assign(this, {x, y, left: 64, right: 24, top: 20, bottom: 52, width: 760, height: 400});
    this.svg = makeSvg(
        'svg',
        {viewBox: `0 0 ${this.width} ${this.height}`, class: 'roofline', role: 'img', 'aria-labelledby': 'roofline-name'});
    this.svg.append(makeSvg('title', {id: 'roofline-name'}, 'Roofline: throughput over arithmetic intensity'));
  }
  at([low, high], from, to, value) { return from + (to - from) * Math.log(value / low) / Math.log(high / low); }
  toX(value) { return this.at(this.x, this.left, this.width - this.right, value); }
  toY(value) { return this.at(this.y, this.height - this.bottom, this.top, value); }
  add(tag, attributes, ...children) { this.svg.append(makeSvg(tag, attributes, ...children)); }
  line(x1, y1, x2, y2, style) {
    this.add('line', {x1: this.toX(x1), y1: this.toY(y1), x2: this.toX(x2), y2: this.toY(y2), class: style});
  }
  text(x, y, style, words) { this.add('text', {x, y, class: style}, words); }
  axes(xTitle, yTitle) {
    for (const value of ticks(this.x)) {
      this.line(value, this.y[0], value, this.y[1], 'grid');
      this.text(this.toX(value), this.height - this.bottom + 18, 'tick middle', tick(value));
    }
    for (const value of ticks(this.y)) {
      this.line(this.x[0], value, this.x[1], value, 'grid');
      this.text(this.left - 8, this.toY(value) + 4, 'tick end', tick(value));
    }
    this.text((this.left + this.width - this.right) / 2, this.height - 10, 'axis middle', xTitle);
    this.add(
        'text', {class: 'axis middle', transform: `translate(16 ${(this.top + this.height - this.bottom) / 2}) rotate(-90)`},
        yTitle);
  }
}

function tick(value) { return value.toLocaleString('en', {maximumSignificantDigits: 2}); }

// 1, 2 and 5 times powers of ten; powers alone where that is too many.
function ticks([low, high]) {
  const all = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); ++power)
    for (const step of [1, 2, 5]) all.push({value: step * 10 ** power, step});
  const within = all.filter(({value}) => value >= low * 0.999 && value <= high * 1.001);
  return (within.length > 9 ? within.filter(({step}) => step === 1) : within).map(({value}) => value);
}

function rooflineShape(roofline) {
  const ridge = roofline.peak_gflops / roofline.read_gbps;
  const predicted = roofline.predicted_percent_of_peak / 100 * roofline.peak_gflops;
  const x = [Math.min(ridge, roofline.intensity) / 8, Math.max(ridge, roofline.intensity) * 8];
  const lowest = Math.min(roofline.measured_gflops, predicted, x[0] * roofline.read_gbps);
  return {ridge, predicted, x, y: [lowest / 1.5, roofline.peak_gflops * 2]};
}

function makeRoofline(roofline) {
  const {ridge, predicted, x, y} = rooflineShape(roofline);
  const plot = new LogPlot(x, y);
  const {intensity, measured_gflops: measured, peak_gflops: peak, read_gbps: bandwidth} = roofline;
  plot.axes('arithmetic intensity, FLOP a byte', 'GFLOP/s');
  plot.line(x[0], x[0] * bandwidth, ridge, peak, 'roof');
  plot.line(ridge, peak, x[1], peak, 'roof');
  plot.text(plot.toX(x[1]) - 4, plot.toY(peak) - 8, 'label end', `arithmetic: ${brief(peak)} GFLOP/s`);
  const slope = Math.atan2(plot.toY(peak) - plot.toY(x[0] * bandwidth), plot.toX(ridge) - plot.toX(x[0])) * 180 / Math.PI;
  const middle = Math.sqrt(x[0] * ridge);
  plot.add(
      'text',
      {class: 'label middle', transform: `translate(${plot.toX(middle)} ${plot.toY(middle * bandwidth) - 9}) rotate(${slope})`},
      `reading: ${brief(bandwidth)} GB/s`);
  plot.line(intensity, y[0], intensity, roofline.limit_gflops, 'drop');
  const px = plot.toX(intensity);
  const apart = Math.abs(plot.toY(predicted) - plot.toY(measured)) < 18 ? 9 : 0;
  const predictedFirst = predicted >= measured ? -1 : 1;
  const py = plot.toY(predicted), my = plot.toY(measured);
  plot.add('path', {class: 'predicted', d: `M${px - 7} ${py}L${px} ${py - 7}L${px + 7} ${py}L${px} ${py + 7}Z`});
  plot.add('circle', {class: 'measured', cx: px, cy: my, r: 6});
  plot.text(px + 14, py + 4 + predictedFirst * apart, 'label', `predicted ${brief(predicted)}`);
  plot.text(px + 14, my + 4 - predictedFirst * apart, 'label', `measured ${brief(measured)}`);
  return plot.svg;
}

function makeRooflineTable(r) {
  const percent = (value) => `${number(value, 1)} % of the peak`;
  const rows = [
    ['Useful work', `${brief(r.flops / 1e9)} GFLOP`, `${number(r.allowed_scores)} allowed scores`],
    [
      'Scores visited', number(r.scores_visited),
      r.allowed_scores > 0 ? `${number(r.scores_visited / r.allowed_scores, 2)} for each allowed one` : ''
    ],
    ['Bytes', `${brief(r.bytes / 1e6)} MB`, 'of tensors and buffers'], ['Intensity', `${brief(r.intensity)} FLOP/B`, ''],
    ['Limit', `${brief(r.limit_gflops)} GFLOP/s`, r.limit_gflops < r.peak_gflops ? 'by reading' : 'by arithmetic'],
    ['Measured', `${brief(r.measured_ms)} ms`, `${brief(r.measured_gflops)} GFLOP/s, ${percent(r.measured_percent_of_peak)}`],
    ['Predicted', `${brief(r.predicted_cycles)} cycles`, percent(r.predicted_percent_of_peak) + (r.predicted_by === 'reading' ? ', all that reading allows' : '')]
  ];
  return makeTable('One call on one thread', [{title: 'What'}, {title: 'Value', number: true}, {title: ''}], rows);
}

function makePartsTable(roofline) {
  const parts = Object.entries(roofline.parts).sort(([, a], [, b]) => b.cycles - a.cycles);
  const rows = parts.map(([part, {cycles}]) => {
    const share = cycles / roofline.predicted_cycles;
    return [part, number(cycles), `${number(100 * share, 1)} %`, makeBar(share)];
  });
  return makeTable(
      'Predicted cycles by part of the kernel',
      [{title: 'Part'}, {title: 'Cycles', number: true}, {title: 'Share', number: true}, {title: ''}], rows);
}

function drawRoofline() {
  const roofline = views.roofline;
  if (roofline.measured_ms === undefined) {
    addSection('roofline', 'Roofline', null, make('p', {}, 'Nothing was run: this machine cannot execute the target.'));
    return;
  }
  const canPlot = roofline.peak_gflops > 0 && roofline.read_gbps > 0 && roofline.flops > 0 && roofline.predicted_cycles > 0;
  addSection(
      'roofline', 'Roofline',
      'What the machine can do at most, measured beside the run, and where this call lies: as the model of the processor predicts, and as measured.',
      make('div.beside', {}, canPlot ? make('figure', {}, makeRoofline(roofline)) : null, makeRooflineTable(roofline)),
      roofline.predicted_cycles > 0 ? makePartsTable(roofline) : null);
}
