// Gradio runs this once for each chart on the page, as the body of a function (element, trigger, props, server,
// upload, watch). Text from outside reaches the page through textContent and the canvas only, never as HTML.

const SMOOTH_FROM = 60;       // points; below that a raw line is easy to read
const SMOOTH_KEEP = 0.85;     // how much less each further neighbour of a point weighs in the smoothed line
const TABLE_ROWS = 200;
const DRAG_FROM = 6;          // pixels; less is a click
const HOVER_REACH = 4;        // pixels
const DASHES = { solid: [], dashed: [6, 4], dotted: [1, 5] };
const COLOURS = ['chosen', 'rejected', 'base', 'aligned', 'warning', 'blocker', 'ink', 'muted', 'grid', 'surface'];

const view = { zoom: null, hidden: new Set(), smooth: true, hover: null, drag: null };
let current = readValue();    // the chart as the server last sent it
let frame = null;             // where the last drawing put things; null while the chart is empty or not on screen
let legendKey = '';
let waiting = 0;

// The parts, once

const root = element.querySelector('.wb-chart');
const head = make('div', root, 'wb-chart-head');
const title = make('h3', head, 'wb-chart-title');
const smoothButton = makeButton(head, 'wb-chart-tool', 'smooth', () => { view.smooth = !view.smooth; });
const wholeButton = makeButton(head, 'wb-chart-tool', 'whole run', () => { view.zoom = null; });
const legend = make('div', root, 'wb-chart-legend');
const measure = make('div', root, 'wb-chart-measure');
const plot = make('div', root, 'wb-chart-plot');
const canvas = make('canvas', plot, '');
const empty = make('p', plot, 'wb-chart-empty', 'Appears with the first logged step.');
const tip = make('div', plot, 'wb-chart-tip');
const reading = make('p', root, 'wb-chart-reading');
const details = make('details', root, 'wb-chart-table');
make('summary', details, '', 'show as table');
const tableNote = make('p', details, 'wb-chart-note');
const tableBox = make('div', details, 'wb-chart-rows');
const pen = canvas.getContext('2d');
canvas.setAttribute('role', 'img');
canvas.tabIndex = 0;
tableBox.tabIndex = 0;

function make(tag, parent, className, text = '') {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  parent.append(node);
  return node;
}

function makeButton(parent, className, text, press) {
  const button = make('button', parent, className, text);
  button.type = 'button';
  button.addEventListener('click', () => { press(); refresh(); });
  return button;
}

// Numbers

function compact(value) {
  const size = Math.abs(value);
  if (size !== 0 && size < 1e-3) return Number(value.toPrecision(3)).toExponential();
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(4))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(4))}k`;
  return String(Number(value.toPrecision(4)));
}

function exact(value) {
  return value === null || value === undefined ? '' : String(Number(value.toPrecision(6)));
}

function steps(value) {
  return value.toLocaleString('en-US');
}

function ticks([low, high], count, smallest = 0) {
  const rough = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(smallest, power * ([1, 2, 5].find((times) => times * power >= rough) ?? 10));
  const first = Math.ceil(low / step);
  const values = Array.from({ length: Math.floor(high / step) - first + 1 }, (_, index) => (first + index) * step);
  return { step, values };
}

function tickLabels({ step, values }) {
  const largest = Math.max(...values.map(Math.abs));
  if (largest < 1e-3 || (largest >= 1e4 && step >= 100)) return values.map((value) => compact(value));
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return values.map((value) => value.toFixed(digits));
}

// Running sum in which each point weighs SMOOTH_KEEP times as much as the next, and the sum of those weights.
function runningSums(points) {
  let sum = 0;
  let weight = 0;
  return points.map(([, y]) => {
    sum = SMOOTH_KEEP * sum + (y ?? 0);
    weight = SMOOTH_KEEP * weight + (y === null ? 0 : 1);
    return { sum, weight };
  });
}

// An exponential average that looks both ways: one that only looks back lags, and would show a falling loss too high.
function smoothed(points) {
  const back = runningSums(points);
  const ahead = runningSums([...points].reverse()).reverse();
  return points.map(([x, y], at) => {
    if (y === null) return [x, null];
    return [x, (back[at].sum + ahead[at].sum - y) / (back[at].weight + ahead[at].weight - 1)];
  });
}

// A learning rate has many points and nothing to smooth. Noise turns at every second or third point.
function canSmooth(line) {
  if (line.style === 'dotted' || line.points.length <= SMOOTH_FROM) return false;
  const values = line.points.map((point) => point[1]).filter((y) => y !== null);
  const turns = values.filter((y, at) => (y - values[at - 1]) * (values[at + 1] - y) < 0).length;
  return turns > values.length / 4;
}

// What is shown

function readValue() {
  const value = typeof props.value === 'string' ? JSON.parse(props.value || '{}') : props.value;
  return { title: '', measure: '', unit: '', x: 'step', lines: [], references: [], marks: [], reading: '', ...value };
}

function hasNumbers(line) {
  return line.points.some((point) => point[1] !== null);
}

function lastValue(line) {
  return line.points.filter((point) => point[1] !== null).pop()[1];
}

function valueAt(line, step) {
  return line.points.find((point) => point[0] === step)?.[1] ?? null;
}

function pointsWithin(lines, [from, to]) {
  return lines.flatMap((line) => line.points.filter(([x, y]) => y !== null && x >= from && x <= to));
}

function shownLines(chart) {
  return chart.lines.filter((line) => !view.hidden.has(line.name));
}

function loggedSteps(chart) {
  return [...new Set(chart.lines.flatMap((line) => line.points.map((point) => point[0])))].sort((a, b) => a - b);
}

// From 0, unless the lines begin late, as those of a second stage do.
function wholeX(chart) {
  const logged = loggedSteps(chart);
  const [first, last] = [logged[0], logged[logged.length - 1]];
  const gap = (last - first) / Math.max(1, logged.length - 1);
  const from = first > 2 * gap ? first : 0;
  return [from, Math.max(last, from + 1)];
}

// A zoom outlives every update, but not the run it was made in: another run may have nothing there.
function rangeX(chart) {
  if (view.zoom && !pointsWithin(chart.lines, view.zoom).length) view.zoom = null;
  return view.zoom ?? wholeX(chart);
}

// The whole run always shows its reference lines; a zoom shows what it covers.
function rangeY(chart, span) {
  const shown = shownLines(chart);
  let values = pointsWithin(shown, span).map((point) => point[1]);
  if (!values.length) values = pointsWithin(chart.lines, span).map((point) => point[1]);
  if (!view.zoom) values = values.concat(chart.references.map((reference) => reference.y));
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = (high - low) * 0.1 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

function stepsWithin(lines, span) {
  return pointsWithin(lines, span).map((point) => point[0]);
}

function nearest(values, wanted) {
  return values.reduce((best, x) => (best === null || Math.abs(x - wanted) < Math.abs(best - wanted) ? x : best), null);
}

function colours() {
  const style = getComputedStyle(element);
  const read = (name) => style.getPropertyValue(`--wb-${name}`).trim() || style.color;
  return Object.fromEntries(COLOURS.map((name) => [name, read(name)]));
}

// The drawing

function layOut(chart, width, height) {
  const xRange = rangeX(chart);
  const yRange = rangeY(chart, xRange);
  const yTicks = ticks(yRange, 4);
  const widest = (labels) => Math.ceil(Math.max(0, ...labels.map((label) => pen.measureText(label).width)));
  const yLabels = tickLabels(yTicks);
  const left = widest(yLabels) + 10;
  const right = width - 8;
  const top = chart.marks.length ? 20 : 8;
  const bottom = height - 24;
  const x = (step) => left + ((step - xRange[0]) / (xRange[1] - xRange[0])) * (right - left);
  const y = (value) => bottom - ((value - yRange[0]) / (yRange[1] - yRange[0])) * (bottom - top);
  const stepAt = (pixel) => {
    const share = Math.min(1, Math.max(0, (pixel - left) / (right - left)));
    return xRange[0] + share * (xRange[1] - xRange[0]);
  };
  const xTicks = ticks(xRange, Math.floor((right - left) / 64), 1);
  return { width, height, left, right, top, bottom, x, y, stepAt, xRange, yRange, xTicks, yTicks, yLabels };
}

function fitCanvas(width, height) {
  const scale = window.devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = `11.5px ${getComputedStyle(element).fontFamily}`;
}

function stroke(from, to, colour, dash = []) {
  pen.strokeStyle = colour;
  pen.lineWidth = 1;
  pen.setLineDash(dash);
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
  pen.setLineDash([]);
}

function write(text, x, y, colour, align) {
  pen.fillStyle = colour;
  pen.textAlign = align;
  pen.textBaseline = 'middle';
  pen.fillText(text, x, y);
}

// Half pixels keep a one-pixel line one pixel wide.
const crisp = (pixel) => Math.round(pixel) + 0.5;

function drawAxes(chart, at, paint) {
  at.yTicks.values.forEach((value, index) => {
    stroke([at.left, crisp(at.y(value))], [at.right, crisp(at.y(value))], paint.grid);
    write(at.yLabels[index], at.left - 8, at.y(value), paint.muted, 'right');
  });
  at.xTicks.values.forEach((step, index) => {
    stroke([crisp(at.x(step)), at.bottom], [crisp(at.x(step)), at.bottom + 4], paint.grid);
    const label = index ? steps(step) : `${chart.x} ${steps(step)}`;
    const half = pen.measureText(label).width / 2;
    const middle = Math.min(Math.max(at.x(step), half), at.width - half);
    write(label, middle, at.bottom + 14, paint.muted, 'center');
  });
  stroke([at.left, crisp(at.bottom)], [at.right, crisp(at.bottom)], paint.grid);
}

// The label stands at the end of its line, on the side where the data is not.
function drawReferences(chart, at, paint) {
  const ends = shownLines(chart).filter(hasNumbers).map(lastValue);
  chart.references.filter(({ y }) => y >= at.yRange[0] && y <= at.yRange[1]).forEach(({ y, label }) => {
    stroke([at.left, crisp(at.y(y))], [at.right, crisp(at.y(y))], paint.muted, [3, 3]);
    const below = ends.filter((end) => end >= y).length > ends.length / 2;
    write(label, at.right, at.y(y) + (below ? 10 : -9), paint.muted, 'right');
  });
}

function drawMarks(chart, at, paint) {
  chart.marks.filter(({ x }) => x >= at.xRange[0] && x <= at.xRange[1]).forEach(({ x, label }) => {
    const pixel = crisp(at.x(x));
    stroke([pixel, at.top - 12], [pixel, at.bottom], paint.muted, [2, 4]);
    const turned = pixel + 6 + pen.measureText(label).width > at.width;
    write(label, turned ? pixel - 5 : pixel + 5, at.top - 9, paint.muted, turned ? 'right' : 'left');
  });
}

function drawDot([x, y], at, radius, fill, edge) {
  pen.fillStyle = fill;
  pen.strokeStyle = edge;
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.arc(at.x(x), at.y(y), radius, 0, 2 * Math.PI);
  pen.fill();
  pen.stroke();
}

// A null lifts the pen; a point that stands alone between two nulls would be invisible as a line, so it is a dot.
function drawPath(points, at, colour, width, dash) {
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.lineJoin = 'round';
  pen.lineCap = 'round';
  pen.setLineDash(dash);
  pen.beginPath();
  const alone = points.filter(([x, y], index) => {
    if (y === null) return false;
    const begins = (points[index - 1]?.[1] ?? null) === null;
    if (begins) pen.moveTo(at.x(x), at.y(y));
    else pen.lineTo(at.x(x), at.y(y));
    return begins && (points[index + 1]?.[1] ?? null) === null;
  });
  pen.stroke();
  pen.setLineDash([]);
  alone.forEach((point) => drawDot(point, at, 3, colour, colour));
}

function drawLine(line, at, paint) {
  const colour = paint[line.role] ?? paint.ink;
  const width = line.weight === 'thick' ? 2.25 : 1.5;
  const smooth = view.smooth && canSmooth(line);
  const heldOut = line.style === 'dotted';
  pen.globalAlpha = smooth ? 0.35 : heldOut ? 0.75 : 1;
  drawPath(line.points, at, colour, smooth ? 1 : width, smooth ? [] : DASHES[line.style] ?? []);
  pen.globalAlpha = 1;
  if (smooth) drawPath(smoothed(line.points), at, colour, width, DASHES[line.style] ?? []);
  if (heldOut) line.points.filter((point) => point[1] !== null)
    .forEach((point) => drawDot(point, at, 2.75, paint.surface, colour));
}

function drawHover(found, at, paint, step) {
  stroke([crisp(at.x(step)), at.top], [crisp(at.x(step)), at.bottom], paint.muted);
  found.forEach(({ line, point }) => drawDot(point, at, 4, paint[line.role] ?? paint.ink, paint.surface));
}

// Long lines arrive thinned out, each at its own steps, so each gives the point that looks to be at `step`.
function pointsNear(lines, at, step) {
  const reach = (at.xRange[1] - at.xRange[0]) * HOVER_REACH / (at.right - at.left);
  return lines.flatMap((line) => {
    const near = nearest(stepsWithin([line], [step - reach, step + reach]), step);
    return near === null ? [] : [{ line, point: [near, valueAt(line, near)] }];
  });
}

function drawDrag(at, paint) {
  const [from, to] = [at.x(view.drag.from), at.x(view.drag.to)];
  pen.globalAlpha = 0.12;
  pen.fillStyle = paint.ink;
  pen.fillRect(from, at.top, to - from, at.bottom - at.top);
  pen.globalAlpha = 1;
}

function draw(chart, paint) {
  fitCanvas(plot.clientWidth, plot.clientHeight);
  frame = chart.lines.some(hasNumbers) ? layOut(chart, plot.clientWidth, plot.clientHeight) : null;
  tip.hidden = true;
  if (!frame) return;
  const lines = shownLines(chart);
  drawAxes(chart, frame, paint);
  drawReferences(chart, frame, paint);
  drawMarks(chart, frame, paint);
  pen.save();
  pen.beginPath();
  // Four pixels more, so that a dot at the edge stays round.
  pen.rect(frame.left - 4, frame.top - 4, frame.right - frame.left + 8, frame.bottom - frame.top + 4);
  pen.clip();
  lines.forEach((line) => drawLine(line, frame, paint));
  if (view.drag) drawDrag(frame, paint);
  pen.restore();
  const step = view.hover === null ? null : nearest(stepsWithin(lines, frame.xRange), view.hover);
  if (step === null) return;
  const found = pointsNear(lines, frame, step);
  drawHover(found, frame, paint, step);
  showTip(chart, found, step, paint);
}

// Everything around the canvas

function swatch(parent, line, paint) {
  const mark = make('span', parent, 'wb-chart-swatch');
  mark.style.borderTop = `${line.weight === 'thick' ? 3 : 2}px ${line.style} ${paint[line.role] ?? paint.ink}`;
}

function showTip(chart, found, step, paint) {
  tip.hidden = false;
  tip.replaceChildren();
  make('div', tip, 'wb-chart-tip-step', `${chart.x} ${steps(step)}`);
  found.forEach(({ line, point }) => {
    const row = make('div', tip, 'wb-chart-tip-row');
    swatch(row, line, paint);
    make('span', row, 'wb-chart-name', line.name);
    make('b', row, '', compact(point[1]));
  });
  const before = frame.x(step) > frame.width / 2;
  tip.style.left = before ? '' : `${frame.x(step) + 12}px`;
  tip.style.right = before ? `${frame.width - frame.x(step) + 12}px` : '';
}

function toggle(name) {
  if (!view.hidden.delete(name)) view.hidden.add(name);
}

// The buttons are made anew only when the lines or the colours change, so that a tick does not take the focus away.
function showLegend(chart, paint) {
  const key = JSON.stringify([paint, chart.lines.map(({ points, ...line }) => line)]);
  if (key !== legendKey) {
    legendKey = key;
    legend.replaceChildren();
    chart.lines.forEach((line) => {
      const button = makeButton(legend, 'wb-chart-line', '', () => toggle(line.name));
      swatch(button, line, paint);
      make('span', button, 'wb-chart-name', line.name);
      make('b', button, '');
    });
  }
  [...legend.children].forEach((button, index) => {
    const line = chart.lines[index];
    button.setAttribute('aria-pressed', String(!view.hidden.has(line.name)));
    button.lastChild.textContent = hasNumbers(line) ? compact(lastValue(line)) : '';
  });
}

function showTable(chart) {
  if (!details.open) return;
  const all = loggedSteps(chart);
  const every = Math.ceil(all.length / TABLE_ROWS) || 1;
  const rows = all.filter((_, index) => (all.length - 1 - index) % every === 0);
  tableNote.textContent = every > 1 ? `${rows.length} of ${steps(all.length)} logged steps, evenly spaced.` : '';
  tableBox.replaceChildren();
  const table = make('table', tableBox, '');
  const top = make('tr', make('thead', table, ''), '');
  [chart.x, ...chart.lines.map((line) => line.name)].forEach((name) => { make('th', top, '', name).scope = 'col'; });
  const body = make('tbody', table, '');
  rows.forEach((step) => {
    const row = make('tr', body, '');
    make('th', row, '', String(step)).scope = 'row';
    chart.lines.forEach((line) => make('td', row, '', exact(valueAt(line, step))));
  });
}

function describe(chart) {
  const lines = chart.lines.filter(hasNumbers).map((line) => `${line.name} ${compact(lastValue(line))}`);
  return `${chart.title || 'Chart'} ${lines.length ? `Last values: ${lines.join(', ')}.` : empty.textContent}`;
}

function showWords(chart) {
  const drawn = chart.lines.some(hasNumbers);
  title.textContent = chart.title;
  measure.textContent = chart.unit ? `${chart.measure} (${chart.unit})` : chart.measure;
  reading.textContent = chart.reading;
  empty.hidden = drawn;
  details.hidden = !drawn;
  smoothButton.hidden = !chart.lines.some(canSmooth);
  smoothButton.setAttribute('aria-pressed', String(view.smooth));
  wholeButton.hidden = !view.zoom;
  canvas.setAttribute('aria-label', describe(chart));
}

function render() {
  waiting = 0;
  if (!element.isConnected) {
    sizes.disconnect();
    theme.disconnect();
    return;
  }
  // In a tab that is not open there is no size to draw for; the size observer calls again when it opens.
  if (!plot.clientWidth) return;
  const paint = colours();
  draw(current, paint);
  showWords(current);
  showLegend(current, paint);
  showTable(current);
}

function refresh() {
  if (!waiting) waiting = requestAnimationFrame(render);
}

// What a person does

function stepUnder(event) {
  return frame.stepAt(event.clientX - canvas.getBoundingClientRect().left);
}

function startDrag(event) {
  if (!frame || event.button !== 0) return;
  canvas.setPointerCapture(event.pointerId);
  view.hover = stepUnder(event);
  view.drag = { pixel: event.clientX, from: view.hover, to: view.hover };
  refresh();
}

function moveOver(event) {
  if (!frame) return;
  view.hover = stepUnder(event);
  if (view.drag) view.drag.to = view.hover;
  refresh();
}

function endDrag(event) {
  if (!view.drag || !frame) return;
  const range = [view.drag.from, stepUnder(event)].sort((a, b) => a - b);
  const wide = Math.abs(event.clientX - view.drag.pixel) > DRAG_FROM;
  if (wide && pointsWithin(current.lines, range).length) view.zoom = range;
  view.drag = null;
  refresh();
}

function leave(event) {
  view.drag = null;
  // A finger leaves as soon as it lifts, and its tip must stay to be read; it goes when something else is touched.
  if (event.pointerType !== 'touch') view.hover = null;
  refresh();
}

function walk(event) {
  const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!frame || !way) return;
  event.preventDefault();
  const found = stepsWithin(shownLines(current), frame.xRange);
  const now = nearest(found, view.hover ?? frame.xRange[1]);
  view.hover = nearest(found.filter((x) => (x - now) * way > 0), now) ?? now;
  refresh();
}

canvas.addEventListener('pointerdown', startDrag);
canvas.addEventListener('pointermove', moveOver);
canvas.addEventListener('pointerup', endDrag);
canvas.addEventListener('pointercancel', leave);
canvas.addEventListener('pointerleave', leave);
canvas.addEventListener('dblclick', () => { view.zoom = null; refresh(); });
canvas.addEventListener('blur', () => { view.hover = null; refresh(); });
canvas.addEventListener('keydown', walk);
details.addEventListener('toggle', refresh);
watch('value', () => { current = readValue(); refresh(); });

const sizes = new ResizeObserver(refresh);
sizes.observe(plot);
const theme = new MutationObserver(refresh);
[document.documentElement, document.body].forEach((node) => theme.observe(node, { attributeFilter: ['class'] }));
refresh();
