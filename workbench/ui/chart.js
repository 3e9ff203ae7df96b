// Called once for each chart on the page (chart.py), as the body of a function (element, trigger, props, server,
// upload, watch), behind chart_numbers.js and chart_files.js. Text from outside reaches the page through textContent and the
// canvas only, never as HTML.

const TABLE_ROWS = 200;
const DRAG_FROM = 6;          // pixels; less is a click
const HOVER_REACH = 4;        // pixels
const MARK_REACH = 8;         // pixels
const WHEEL_STEP = 1.2;       // how much a turn of the wheel zooms
const PAN_STEP = 0.2;         // of what is shown, with each press of a key
const DASHES = { solid: [], dashed: [6, 4], dotted: [1, 5] };
const SIGNS = { info: 'i', warning: '!', blocker: '×' };
const GRAVITY = [undefined, 'info', 'warning', 'blocker'];   // of marks at the same step the gravest lies on top
const COLOURS = [
  'chosen', 'rejected', 'base', 'aligned', 'warning', 'blocker', 'ink', 'muted', 'grid', 'surface',
  'run1', 'run2', 'run3', 'run4', 'run5', 'run6',
];
const HOVERED = 'wb-chart-hovered';  // tells the other charts of the page where a person looks

const view = { zoom: null, hidden: new Set(), smooth: true, log: false, hover: null, echo: null, drag: null, spoken: false };
let current = null;           // the chart as the server last sent it
let frame = null;             // where the last drawing put things; null while the chart is empty or not on screen
let known = null;             // the id of the chart whose choices `view` holds
let paint = colours();        // read anew with each drawing of the plot: a theme may have changed them
let legendKey = '';
let waiting = 0;
let stale = true;             // the plot itself is to be drawn again, not only what follows the pointer
let isNew = true;             // the server has sent something since `current` was read
let size = { width: 0, height: 0 };  // of the plot; told, because asking for it would lay the page out once for each chart

// The parts, once

const root = element.querySelector('.wb-chart');
const explained = root.firstElementChild;   // from the template, where the chart has an explanation
const head = make('div', root, 'wb-chart-head');
const title = make('h3', head, 'wb-chart-title');
const logButton = makeButton(head, 'wb-chart-tool', 'log scale', () => { view.log = !view.log; remember(); });
const smoothButton = makeButton(head, 'wb-chart-tool', 'smooth', () => { view.smooth = !view.smooth; remember(); });
const wholeButton = makeButton(head, 'wb-chart-tool', 'whole run', () => { view.zoom = null; });
const legend = make('div', root, 'wb-chart-legend');
const measure = make('div', root, 'wb-chart-measure');
const plot = make('div', root, 'wb-chart-plot');
const canvas = make('canvas', plot, '');
const empty = make('p', plot, 'wb-chart-empty', 'Appears with the first logged step.');
const tip = make('div', plot, 'wb-chart-tip');
const reading = make('p', root, 'wb-chart-reading');
const help = make('p', root, 'wb-unseen');
const spoken = make('p', root, 'wb-unseen');
const foot = make('div', root, 'wb-chart-foot');
if (explained) foot.append(explained);
const details = make('details', foot, 'wb-chart-table');
make('summary', details, '', 'show as table');
const tableNote = make('p', details, 'wb-chart-note');
const tableBox = make('div', details, 'wb-chart-rows');
const files = make('div', foot, 'wb-chart-files');
Object.entries(SAVES).forEach(([name, act]) => {
  makeButton(files, 'wb-chart-file', name, act).setAttribute('aria-label', `Save this chart as ${name}`);
});
const screen = canvas.getContext('2d');
const sheet = document.createElement('canvas');   // the plot without what follows the pointer, which is drawn over a copy of it
let pen = sheet.getContext('2d');
help.id = `wb-chart-help-${Math.random().toString(36).slice(2)}`;
canvas.setAttribute('role', 'img');
canvas.setAttribute('aria-describedby', help.id);
spoken.setAttribute('aria-live', 'polite');
canvas.tabIndex = 0;
tableBox.tabIndex = 0;

function make(tag, parent, className, text = '') {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  parent.append(node);
  return node;
}

// The same words again would have the page laid out anew.
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function makeButton(parent, className, text, press) {
  const button = make('button', parent, className, text);
  button.type = 'button';
  button.addEventListener('click', () => { press(); refresh(); });
  return button;
}

// What this browser remembers of a chart: hidden lines, log scale, smoothing. One that lets nothing be stored forgets it.

function remember() {
  try {
    const kept = { hidden: [...view.hidden].slice(-50), smooth: view.smooth, log: view.log };
    localStorage.setItem(`wb-chart:${known}`, JSON.stringify(kept));
  } catch { /* nothing is remembered */ }
}

function recall(id) {
  known = id;
  try {
    const { hidden, smooth, log } = JSON.parse(localStorage.getItem(`wb-chart:${id}`)) ?? {};
    if (Array.isArray(hidden)) view.hidden = new Set(hidden);
    if (typeof smooth === 'boolean') view.smooth = smooth;
    if (typeof log === 'boolean') view.log = log;
  } catch { /* nothing was remembered */ }
}

// What is shown

function readValue() {
  const value = typeof props.value === 'string' ? JSON.parse(props.value || '{}') : props.value;
  return { title: '', measure: '', unit: '', x: 'step', lines: [], references: [], marks: [], reading: '', ...value };
}

function takeValue() {
  current = readValue();
  isNew = false;
  if (current.id && current.id !== known) recall(current.id);
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

function lineLabel(line) {
  return line.run ? `${line.run} · ${line.name}` : line.name;
}

function measureOf(chart) {
  return chart.unit ? `${chart.measure} (${chart.unit})` : chart.measure;
}

function pointsWithin(lines, [from, to]) {
  return lines.flatMap((line) => line.points.filter(([x, y]) => y !== null && x >= from && x <= to));
}

function shownLines(chart) {
  return chart.lines.filter((line) => !view.hidden.has(line.name) && !view.hidden.has(`run:${line.run}`));
}

// What can be switched off: each line; of several runs each run, and each kind of line that more than one kind has.
function legendItems(chart) {
  const runs = [...new Set(chart.lines.map((line) => line.run).filter(Boolean))];
  if (!runs.length) return chart.lines.map((line) => ({ ...line, key: line.name, label: line.name, of: [line] }));
  const names = [...new Set(chart.lines.map((line) => line.name))];
  const ofRuns = runs.map((run) => {
    const of = chart.lines.filter((line) => line.run === run);
    const best = of.find((line) => line.style === 'dotted' && hasNumbers(line)) ?? of[0];
    return { key: `run:${run}`, label: run, role: of[0].role, style: 'solid', weight: 'thick', of: [best] };
  });
  const ofNames = names.map((name) => {
    const { style, weight } = chart.lines.find((line) => line.name === name);
    return { key: name, label: name, role: 'muted', style, weight, of: [] };
  });
  return [...ofRuns, ...(names.length > 1 ? ofNames : [])];
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

// A log scale has no place for 0 and what lies below.
function canBeLog(chart) {
  return Boolean(chart.log) && chart.lines.some(hasNumbers)
    && chart.lines.every((line) => line.points.every(([, y]) => y === null || y > 0));
}

// The whole run always shows its reference lines; a zoom shows what it covers.
function rangeY(chart, span, isLog) {
  const [from, to] = span;
  const shown = shownLines(chart);
  let values = pointsWithin(shown, span).map((point) => point[1]);
  if (!values.length) values = pointsWithin(chart.lines, span).map((point) => point[1]);
  const bands = shown.flatMap((line) => (line.band ?? []).filter(([x]) => x >= from && x <= to));
  values = values.concat(bands.flatMap(([, low, high]) => [low, high]));
  if (!view.zoom) values = values.concat(chart.references.map((reference) => reference.y));
  if (isLog) values = values.filter((value) => value > 0);
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (isLog) {
    const times = (high / low) ** 0.1 || 1;
    return high > low ? [low / times, high * times] : [low / 2, high * 2];
  }
  const room = (high - low) * 0.1 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

function stepsWithin(lines, span) {
  return pointsWithin(lines, span).map((point) => point[0]);
}

function colours() {
  const style = getComputedStyle(element);
  const read = (name) => style.getPropertyValue(`--wb-${name}`).trim() || style.color;
  return Object.fromEntries(COLOURS.map((name) => [name, read(name)]));
}

// The drawing

function layOut(chart, width, height) {
  const isLog = view.log && canBeLog(chart);
  const xRange = rangeX(chart);
  const yRange = rangeY(chart, xRange, isLog);
  const yTicks = isLog ? logTicks(yRange) : ticks(yRange, 4);
  const widest = (labels) => Math.ceil(Math.max(0, ...labels.map((label) => pen.measureText(label).width)));
  const yLabels = isLog ? yTicks.values.map(compact) : tickLabels(yTicks);
  const left = widest(yLabels) + 10;
  const right = width - 8;
  const top = chart.marks.length ? 20 : 8;
  const bottom = height - 24;
  const scaled = isLog ? Math.log10 : (value) => value;
  const [low, high] = yRange.map(scaled);
  const x = (step) => left + ((step - xRange[0]) / (xRange[1] - xRange[0])) * (right - left);
  const y = (value) => bottom - ((scaled(value) - low) / (high - low)) * (bottom - top);
  const stepAt = (pixel) => {
    const share = Math.min(1, Math.max(0, (pixel - left) / (right - left)));
    return xRange[0] + share * (xRange[1] - xRange[0]);
  };
  const xTicks = ticks(xRange, Math.floor((right - left) / 64), 1);
  return { width, height, left, right, top, bottom, x, y, stepAt, xRange, yRange, xTicks, yTicks, yLabels };
}

function fitCanvas(one, width, height) {
  const scale = window.devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (one.width !== wide || one.height !== high) Object.assign(one, { width: wide, height: high });
  const its = one.getContext('2d');
  its.setTransform(scale, 0, 0, scale, 0, 0);
  its.clearRect(0, 0, width, height);
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

// What a finding says is told where the pointer is; other marks have their words beside them, where there is room.
function drawMarks(chart, at, paint) {
  let free = -Infinity;
  const shown = chart.marks.filter(({ x }) => x >= at.xRange[0] && x <= at.xRange[1]);
  shown.sort((one, other) => GRAVITY.indexOf(one.severity) - GRAVITY.indexOf(other.severity));
  shown.forEach(({ x, label, severity }) => {
    const pixel = crisp(at.x(x));
    const colour = paint[severity] ?? paint.muted;
    stroke([pixel, at.top - 12], [pixel, at.bottom], colour, [2, 4]);
    if (SIGNS[severity]) {
      pen.fillStyle = colour;
      pen.beginPath();
      pen.arc(pixel, at.top - 12, 7, 0, 2 * Math.PI);
      pen.fill();
      write(SIGNS[severity], pixel, at.top - 11.5, paint.surface, 'center');
      return;
    }
    const wide = pen.measureText(label).width;
    const turned = pixel + 6 + wide > at.width;
    if ((turned ? pixel - 5 - wide : pixel) < free) return;
    write(label, turned ? pixel - 5 : pixel + 5, at.top - 9, colour, turned ? 'right' : 'left');
    free = turned ? pixel : pixel + 10 + wide;
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

// An interval as a light area, and as a stroke where there is only one point.
function drawBand({ band }, at, colour) {
  const floor = at.yRange[0];
  pen.globalAlpha = 0.16;
  pen.fillStyle = colour;
  pen.strokeStyle = colour;
  pen.lineWidth = 6;
  pen.beginPath();
  band.forEach(([x, , high], index) => { (index ? pen.lineTo : pen.moveTo).call(pen, at.x(x), at.y(high)); });
  [...band].reverse().forEach(([x, low]) => pen.lineTo(at.x(x), at.y(Math.max(low, floor))));
  pen.closePath();
  if (band.length > 1) pen.fill();
  else pen.stroke();
  pen.globalAlpha = 1;
}

function drawLine(line, at, paint) {
  const colour = paint[line.role] ?? paint.ink;
  const width = line.weight === 'thick' ? 2.25 : 1.5;
  const smooth = view.smooth && canSmooth(line);
  const heldOut = line.style === 'dotted';
  const raw = line.run ? 0.18 : 0.35;
  pen.globalAlpha = smooth ? raw : heldOut ? 0.75 : 1;
  drawPath(line.points, at, colour, smooth ? 1 : width, smooth ? [] : DASHES[line.style] ?? []);
  pen.globalAlpha = 1;
  if (smooth) drawPath(smoothed(line.points), at, colour, width, DASHES[line.style] ?? []);
  if (heldOut) line.points.filter((point) => point[1] !== null)
    .forEach((point) => drawDot(point, at, 2.75, paint.surface, colour));
}

// All but what follows the pointer. Gives where it put things.
function drawPlot(chart, paint, width, height) {
  pen.font = `11.5px ${getComputedStyle(element).fontFamily}`;
  const at = layOut(chart, width, height);
  const lines = shownLines(chart);
  drawAxes(chart, at, paint);
  drawReferences(chart, at, paint);
  drawMarks(chart, at, paint);
  pen.save();
  pen.beginPath();
  // Four pixels more, so that a dot at the edge stays round.
  pen.rect(at.left - 4, at.top - 4, at.right - at.left + 8, at.bottom - at.top + 4);
  pen.clip();
  lines.filter((line) => line.band?.length).forEach((line) => drawBand(line, at, paint[line.role] ?? paint.ink));
  lines.forEach((line) => drawLine(line, at, paint));
  pen.restore();
  return at;
}

// What follows the pointer

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

// The step that is looked at in this chart or in another one, where this one has something there.
function lookedAt(lines) {
  if (view.hover !== null) return nearest(stepsWithin(lines, frame.xRange), view.hover);
  if (view.echo === null || view.echo < frame.xRange[0] || view.echo > frame.xRange[1]) return null;
  return nearest(stepsWithin(lines, frame.xRange), view.echo);
}

function drawOver(chart, paint) {
  const lines = shownLines(chart);
  if (view.drag && !view.drag.pans) drawDrag(frame, paint);
  const step = lookedAt(lines);
  tip.hidden = step === null;
  if (step === null) return;
  const found = pointsNear(lines, frame, step);
  const pointed = frame.x(view.hover ?? view.echo);
  const isNear = ({ x }) => Math.abs(frame.x(x) - pointed) <= MARK_REACH || x === step;
  drawHover(found, frame, paint, step);
  showTip(chart, found, chart.marks.filter(isNear), step, paint);
}

function draw(chart) {
  const { width, height } = size;
  const drawn = chart.lines.some(hasNumbers);
  fitCanvas(canvas, width, height);
  if (!drawn) {
    frame = null;
    tip.hidden = true;
    return;
  }
  if (stale || !frame || frame.width !== width || frame.height !== height) {
    fitCanvas(sheet, width, height);
    frame = drawPlot(chart, paint, width, height);
  }
  // Pixel by pixel, at any size of a pixel.
  screen.save();
  screen.resetTransform();
  screen.drawImage(sheet, 0, 0);
  screen.restore();
  withPen(screen, () => drawOver(chart, paint));
}

// Everything around the canvas

function swatch(parent, line, paint) {
  const mark = make('span', parent, 'wb-chart-swatch');
  mark.style.borderTop = `${line.weight === 'thick' ? 3 : 2}px ${line.style} ${paint[line.role] ?? paint.ink}`;
}

// A row for each line; of several runs one for each run, with its numbers side by side.
function tipRows(found) {
  const rows = new Map();
  found.forEach(({ line, point }) => {
    const one = line.run ?? line;
    if (!rows.has(one)) rows.set(one, { line, key: line.run ?? line.name, values: [] });
    rows.get(one).values.push(compact(point[1]));
  });
  return [...rows.values()];
}

function showTip(chart, found, marks, step, paint) {
  tip.replaceChildren();
  make('div', tip, 'wb-chart-tip-step', `${chart.x} ${steps(step)}`);
  const kinds = [...new Set(found.map(({ line }) => line.name))];
  if (found.some(({ line }) => line.run) && kinds.length > 1) make('div', tip, 'wb-chart-tip-step', kinds.join(' · '));
  const rows = tipRows(found);
  rows.forEach(({ line, key, values }) => {
    const row = make('div', tip, 'wb-chart-tip-row');
    swatch(row, line.run ? { ...line, style: 'solid' } : line, paint);
    make('span', row, 'wb-chart-name', key);
    const numbers = make('b', row, '');
    values.forEach((value, place) => make('span', numbers, '', place ? ` · ${value}` : value));
  });
  marks.forEach(({ label, severity }) => {
    const words = make('div', tip, 'wb-chart-tip-mark', SIGNS[severity] ? `${SIGNS[severity]} ${label}` : label);
    words.style.color = paint[severity] ?? paint.muted;
  });
  const pixel = frame.x(step);
  const before = pixel > frame.width / 2;
  tip.style.left = before ? '' : `${pixel + 12}px`;
  tip.style.right = before ? `${frame.width - pixel + 12}px` : '';
  if (!view.spoken) return;
  view.spoken = false;
  const numbers = rows.map(({ key, values }) => `${key} ${values.join(', ')}`);
  spoken.textContent = [`${chart.x} ${steps(step)}`, ...numbers, ...marks.map((mark) => mark.label)].join('; ');
}

function toggle(key) {
  if (!view.hidden.delete(key)) view.hidden.add(key);
  remember();
}

// The buttons are made anew only when the lines or the colours change, so that a tick does not take the focus away.
function showLegend(chart) {
  const items = legendItems(chart);
  const key = JSON.stringify([paint, items.map(({ of, points, band, ...item }) => item)]);
  if (key !== legendKey) {
    legendKey = key;
    legend.replaceChildren();
    items.forEach((item) => {
      const button = makeButton(legend, 'wb-chart-line', '', () => toggle(item.key));
      swatch(button, item, paint);
      make('span', button, 'wb-chart-name', item.label);
      make('b', button, '');
      button.title = item.label;
    });
  }
  [...legend.children].forEach((button, index) => {
    const { key: its, of: [line] } = items[index];
    button.setAttribute('aria-pressed', String(!view.hidden.has(its)));
    say(button.lastChild, line && hasNumbers(line) ? compact(lastValue(line)) : '');
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
  [chart.x, ...chart.lines.map(lineLabel)].forEach((name) => { make('th', top, '', name).scope = 'col'; });
  const body = make('tbody', table, '');
  rows.forEach((step) => {
    const row = make('tr', body, '');
    make('th', row, '', String(step)).scope = 'row';
    chart.lines.forEach((line) => make('td', row, '', exact(valueAt(line, step))));
  });
}

function describe(chart) {
  const lines = chart.lines.filter(hasNumbers).map((line) => `${lineLabel(line)} ${compact(lastValue(line))}`);
  return `${chart.title || 'Chart'} ${lines.length ? `Last values: ${lines.join(', ')}.` : empty.textContent}`;
}

function helpWords(chart) {
  const marks = chart.marks.map(({ x, label }) => `${label} at ${chart.x} ${steps(x)}.`);
  return `${marks.join(' ')} Arrow keys read step by step; plus and minus zoom, shift with arrows pans, 0 shows the whole run.`;
}

function showWords(chart) {
  const drawn = chart.lines.some(hasNumbers);
  say(title, chart.title);
  say(measure, measureOf(chart));
  say(reading, chart.reading);
  empty.hidden = drawn;
  details.hidden = !drawn;
  files.hidden = !drawn;
  say(help, helpWords(chart));
  logButton.hidden = !canBeLog(chart);
  logButton.setAttribute('aria-pressed', String(view.log));
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
    document.removeEventListener(HOVERED, follow);
    return;
  }
  // In a tab that is not open there is no size to draw for; the size observer calls again when it opens.
  if (isNew) takeValue();
  if (!size.width) return;
  if (stale) paint = colours();
  draw(current);
  if (!stale) return;
  stale = false;
  showWords(current);
  showLegend(current);
  showTable(current);
}

// Each chart in a task of its own: all of them in one frame would keep the page from answering for as long as they take together.
function refresh() {
  stale = true;
  if (!waiting) waiting = setTimeout(render);
}

function refreshOver() {
  if (!waiting) waiting = requestAnimationFrame(render);
}

// What a person does

// Charts whose axes count the same are looked at together.
function hover(step) {
  view.hover = step;
  document.dispatchEvent(new CustomEvent(HOVERED, { detail: { from: root, x: current.x, step } }));
  refreshOver();
}

function follow({ detail }) {
  if (detail.from === root) return;
  const step = detail.x === current.x ? detail.step : null;
  if (step === view.echo && view.hover === null) return;
  view.echo = step;
  view.hover = null;
  refreshOver();
}

function stepUnder(event) {
  return frame.stepAt(event.clientX - canvas.getBoundingClientRect().left);
}

// Nothing is zoomed to where no point is. What holds the whole run is the whole run.
function zoomTo([from, to]) {
  const [first, last] = wholeX(current);
  const wide = Math.min(to - from, last - first);
  const start = Math.min(Math.max(from, first), last - wide);
  const range = [start, start + wide];
  if (!(wide > 0) || !pointsWithin(current.lines, range).length) return;
  view.zoom = wide >= (last - first) * 0.999 ? null : range;
  refresh();
}

// From what is to be shown, which the last drawing may not show yet.
function zoomAround(step, times) {
  const [from, to] = rangeX(current);
  zoomTo([step - (step - from) / times, step + (to - step) / times]);
}

function pan(share) {
  const [from, to] = rangeX(current);
  const by = (to - from) * share;
  zoomTo([from + by, to + by]);
}

function startDrag(event) {
  if (!frame || event.button !== 0) return;
  canvas.setPointerCapture(event.pointerId);
  const step = stepUnder(event);
  view.drag = { pixel: event.clientX, from: step, to: step, pans: event.shiftKey && view.zoom };
  hover(step);
}

function moveOver(event) {
  if (!frame) return;
  if (view.drag?.pans) {
    const [from, to] = view.drag.pans;
    const by = (view.drag.pixel - event.clientX) / (frame.right - frame.left) * (to - from);
    zoomTo([from + by, to + by]);
  } else if (view.drag) {
    view.drag.to = stepUnder(event);
  }
  hover(stepUnder(event));
}

function endDrag(event) {
  if (!view.drag || !frame) return;
  const { pans, from, pixel } = view.drag;
  const range = [from, stepUnder(event)].sort((a, b) => a - b);
  view.drag = null;
  if (!pans && Math.abs(event.clientX - pixel) > DRAG_FROM) zoomTo(range);
  refreshOver();
}

function leave(event) {
  view.drag = null;
  // A finger leaves as soon as it lifts, and its tip must stay to be read; it goes when something else is touched.
  if (event.pointerType !== 'touch') hover(null);
}

// With ctrl, which a pinch on a touchpad sets too, the wheel zooms; sideways or with shift it pans. Else the page scrolls.
function turn(event) {
  const sideways = event.shiftKey ? event.deltaX || event.deltaY : event.deltaX;
  const pans = view.zoom && !event.ctrlKey && (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY));
  if (!frame || (!event.ctrlKey && !pans)) return;
  event.preventDefault();
  if (pans) pan(sideways / (frame.right - frame.left));
  else zoomAround(stepUnder(event), event.deltaY < 0 ? WHEEL_STEP : 1 / WHEEL_STEP);
}

function walk(way) {
  const found = stepsWithin(shownLines(current), frame.xRange);
  const now = nearest(found, view.hover ?? frame.xRange[1]);
  view.spoken = true;
  hover(nearest(found.filter((x) => (x - now) * way > 0), now) ?? now);
}

function press(event) {
  if (!frame || event.ctrlKey || event.metaKey || event.altKey) return;
  const middle = view.hover ?? (frame.xRange[0] + frame.xRange[1]) / 2;
  const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const acts = {
    '+': () => zoomAround(middle, 2), '=': () => zoomAround(middle, 2), '-': () => zoomAround(middle, 0.5),
    0: () => { view.zoom = null; refresh(); }, Escape: () => hover(null),
  };
  const act = way ? () => (event.shiftKey ? pan(way * PAN_STEP) : walk(way)) : acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

canvas.addEventListener('pointerdown', startDrag);
canvas.addEventListener('pointermove', moveOver);
canvas.addEventListener('pointerup', endDrag);
canvas.addEventListener('pointercancel', leave);
canvas.addEventListener('pointerleave', leave);
canvas.addEventListener('dblclick', () => { view.zoom = null; refresh(); });
canvas.addEventListener('blur', () => hover(null));
canvas.addEventListener('keydown', press);
canvas.addEventListener('wheel', turn, { passive: false });
details.addEventListener('toggle', refresh);
document.addEventListener(HOVERED, follow);
watch('value', () => { isNew = true; refresh(); });

const sizes = new ResizeObserver(([{ contentRect: { width, height } }]) => { size = { width, height }; refresh(); });
sizes.observe(plot);
const theme = new MutationObserver(refresh);
[document.documentElement, document.body].forEach((node) => theme.observe(node, { attributeFilter: ['class'] }));
takeValue();
refresh();
