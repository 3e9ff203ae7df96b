// Called once for each picture on the page (chart.py), as the body of a function (element, trigger, props, server, upload, watch).
// Text from outside reaches the page through textContent and the canvas only, never as HTML.

const DASHES = { solid: [], dashed: [5, 4] };
const COLOURS = ['chosen', 'rejected', 'base', 'aligned', 'warning', 'ink', 'muted', 'grid', 'surface'];
const ROOM = { left: 4, right: 14, top: 42, bottom: 26, between: 22 };
const CUT_ALPHA = 0.16;
const KEPT_ALPHA = 0.5;
const POINT_ALPHA = 0.45;
const KEYS_REST = 250;        // milliseconds without a key, after which the line counts as let go

let current = readValue();    // what the server last sent
let length = current ? current.max_length : 0;
let released = length;        // the length that the server knows
let dragging = false;
let frame = null;             // where the last drawing put things; null while there is nothing to show
let waiting = 0;
let resting = 0;

// The parts, once

const root = element.querySelector('.wb-lengths');
const empty = make('p', root, 'wb-lengths-empty', 'Appears when the rows are counted in tokens.');
const pair = make('div', root, 'wb-lengths-pair');

const card = make('section', pair, 'wb-chart');
make('h3', card, 'wb-chart-title', 'What does the longest example cut?');
const measure = make('div', card, 'wb-chart-measure');
const plot = make('div', card, 'wb-chart-plot wb-lengths-plot');
const canvas = make('canvas', plot, '');
canvas.setAttribute('aria-hidden', 'true');
const line = make('div', plot, 'wb-lengths-line');
line.setAttribute('role', 'slider');
line.setAttribute('aria-label', 'Longest example in tokens');
line.tabIndex = 0;
const losses = make('div', card, 'wb-lengths-losses');
const lossHead = make('p', losses, 'wb-lengths-at');
const lossList = make('ul', losses, '');
const advice = make('p', card, 'wb-chart-reading');

const cloudCard = make('section', pair, 'wb-chart');
make('h3', cloudCard, 'wb-chart-title', 'Is the longer answer preferred?');
make('div', cloudCard, 'wb-chart-measure', 'rejected answer against chosen answer (tokens)');
const cloudPlot = make('div', cloudCard, 'wb-chart-plot wb-lengths-cloud');
const cloudCanvas = make('canvas', cloudPlot, '');
cloudCanvas.setAttribute('role', 'img');
const cloudReading = make('p', cloudCard, 'wb-chart-reading');

function make(tag, parent, className, text = '') {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  parent.append(node);
  return node;
}

// Numbers

function readValue() {
  const value = typeof props.value === 'string' ? JSON.parse(props.value || 'null') : props.value;
  return value && value.rows ? value : null;
}

function grouped(value) {
  return value.toLocaleString('en-US');
}

function percent(count) {
  const share = 100 * count / current.rows;
  if (count && share < 0.1) return '< 0.1 %';
  return `${count ? share.toFixed(1) : 0} %`;
}

function countFrom(tally, least) {
  return tally.reduce((sum, [value, rows]) => sum + (value >= least ? rows : 0), 0);
}

// As in TokenCounts.tallies.
function lossesAt(most) {
  const { prompt, end, alike } = current.tallies;
  const filled = countFrom(prompt, most);
  return { filled, cut: countFrom(end, most + 1) - filled, equal: countFrom(alike, most) - filled };
}

function lossWords() {
  const { filled, cut, equal } = lossesAt(length);
  const words = [
    [cut, current.pairs ? 'lose the end of an answer' : 'lose the end of the answer'],
    [filled, 'have a prompt that fills it: left out'],
  ];
  if (current.pairs) words.push([equal, 'become equal: they teach nothing']);
  return words;
}

function ticks(top, count) {
  const rough = top / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, power * ([1, 2, 5].find((times) => times * power >= rough) ?? 10));
  return Array.from({ length: Math.floor(top / step) + 1 }, (_, index) => index * step);
}

// About 128 places on the axis, each a round number for a tokenizer's people: a power of two.
function keyStep() {
  return Math.min(64, Math.max(1, 2 ** Math.floor(Math.log2(current.top / 128))));
}

function held(value) {
  return Math.min(current.high, Math.max(current.low, value));
}

// The drawing

function colours() {
  const style = getComputedStyle(element);
  const read = (name) => style.getPropertyValue(`--wb-${name}`).trim() || style.color;
  return Object.fromEntries(COLOURS.map((name) => [name, read(name)]));
}

function penOn(sheet, box) {
  const scale = window.devicePixelRatio || 1;
  const [wide, high] = [Math.round(box.clientWidth * scale), Math.round(box.clientHeight * scale)];
  if (sheet.width !== wide || sheet.height !== high) Object.assign(sheet, { width: wide, height: high });
  const pen = sheet.getContext('2d');
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, box.clientWidth, box.clientHeight);
  pen.font = `11.5px ${getComputedStyle(element).fontFamily}`;
  pen.textBaseline = 'middle';
  return pen;
}

// Half pixels keep a one-pixel line one pixel wide.
const crisp = (pixel) => Math.round(pixel) + 0.5;

function stroke(pen, points, colour, width = 1, dash = []) {
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.setLineDash(dash);
  pen.beginPath();
  points.forEach(([x, y], index) => (index ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.stroke();
  pen.setLineDash([]);
}

function write(pen, text, x, y, colour, align = 'left') {
  pen.fillStyle = colour;
  pen.textAlign = align;
  pen.fillText(text, x, y);
}

function layOut(width, height) {
  const left = ROOM.left;
  const right = width - ROOM.right;
  const bottom = height - ROOM.bottom;
  const each = (bottom - ROOM.top - ROOM.between * (current.bands.length - 1)) / current.bands.length;
  const bands = current.bands.map((_, index) => {
    const top = ROOM.top + index * (each + ROOM.between);
    return { top, bottom: top + each };
  });
  const x = (tokens) => left + Math.min(1, tokens / current.top) * (right - left);
  const tokensAt = (pixel) => (pixel - left) / (right - left) * current.top;
  return { width, left, right, bottom, bands, x, tokensAt };
}

// All bands have one scale, so that their heights can be compared.
function drawBand(pen, band, at, paint, tallest) {
  const colour = paint[band.role];
  const y = (rows) => at.bottom - (rows / tallest) * (at.bottom - at.top);
  const edge = frame.x(length);
  const shape = band.bins.flatMap((rows, place) => {
    const [from, to] = [place, place + 1].map((bin) => frame.x(bin * current.width));
    return [[from, y(rows)], [to, y(rows)]];
  });
  [[frame.left, edge, KEPT_ALPHA], [edge, frame.right, CUT_ALPHA]].forEach(([from, to, alpha]) => {
    pen.save();
    pen.beginPath();
    pen.rect(from, at.top - 2, to - from, at.bottom - at.top + 2);
    pen.clip();
    pen.globalAlpha = alpha;
    pen.fillStyle = colour;
    pen.beginPath();
    [[frame.left, at.bottom], ...shape, [frame.right, at.bottom]].forEach((point) => pen.lineTo(...point));
    pen.fill();
    pen.restore();
  });
  stroke(pen, shape, colour, 1.5, DASHES[band.style]);
  stroke(pen, [[frame.left, crisp(at.bottom)], [frame.right, crisp(at.bottom)]], paint.grid);
  write(pen, band.name, frame.right, at.top - 8, colour, 'right');
}

function drawAxis(pen, paint) {
  ticks(current.top, Math.floor((frame.right - frame.left) / 64)).forEach((tokens) => {
    const pixel = frame.x(tokens);
    stroke(pen, [[crisp(pixel), frame.bottom], [crisp(pixel), frame.bottom + 4]], paint.grid);
    const half = pen.measureText(grouped(tokens)).width / 2;
    write(pen, grouped(tokens), Math.min(Math.max(pixel, half), frame.width - half), frame.bottom + 14, paint.muted, 'center');
  });
}

function drawLine(pen, paint) {
  const pixel = frame.x(length);
  const label = `${grouped(length)}${length > current.top ? ' \u2192' : ''}`;
  stroke(pen, [[pixel, 18], [pixel, frame.bottom]], paint.ink, 1.75);
  pen.font = `600 ${pen.font}`;
  const half = pen.measureText(label).width / 2 + 7;
  const middle = Math.min(Math.max(pixel, half), frame.width - half);
  pen.fillStyle = paint.ink;
  pen.beginPath();
  pen.roundRect(middle - half, 0, 2 * half, 18, 9);
  pen.fill();
  write(pen, label, middle, 9.5, paint.surface, 'center');
}

function drawPlot(paint) {
  const pen = penOn(canvas, plot);
  frame = layOut(plot.clientWidth, plot.clientHeight);
  const tallest = Math.max(1, ...current.bands.flatMap((band) => band.bins));
  current.bands.forEach((band, index) => drawBand(pen, band, frame.bands[index], paint, tallest));
  drawAxis(pen, paint);
  drawLine(pen, paint);
  line.style.left = `${frame.x(length)}px`;
}

function drawCloud(paint) {
  const { points, top } = current.cloud;
  const pen = penOn(cloudCanvas, cloudPlot);
  const marks = ticks(top, 5);
  const left = pen.measureText(grouped(marks[marks.length - 1])).width + 10;
  const [right, bottom, high] = [cloudPlot.clientWidth - ROOM.right, cloudPlot.clientHeight - 40, 8];
  const x = (tokens) => left + Math.min(1, tokens / top) * (right - left);
  const y = (tokens) => bottom - Math.min(1, tokens / top) * (bottom - high);
  marks.forEach((tokens) => {
    stroke(pen, [[left, crisp(y(tokens))], [right, crisp(y(tokens))]], paint.grid);
    write(pen, grouped(tokens), left - 8, y(tokens), paint.muted, 'right');
    const half = pen.measureText(grouped(tokens)).width / 2;
    write(pen, grouped(tokens), Math.min(x(tokens), cloudPlot.clientWidth - half), bottom + 13, paint.muted, 'center');
  });
  write(pen, 'chosen', right, bottom + 30, paint.chosen, 'right');
  pen.globalAlpha = POINT_ALPHA;
  points.forEach(([chosen, rejected]) => {
    pen.fillStyle = chosen > rejected ? paint.chosen : chosen < rejected ? paint.rejected : paint.muted;
    pen.beginPath();
    pen.arc(x(chosen), y(rejected), 2.25, 0, 2 * Math.PI);
    pen.fill();
  });
  pen.globalAlpha = 1;
  stroke(pen, [[x(0), y(0)], [x(top), y(top)]], paint.muted, 1, [3, 3]);
  label(pen, 'rejected is longer', left + 8, high + 10, paint.rejected, paint.surface, 'left');
  label(pen, 'chosen is longer', right - 6, bottom - 12, paint.chosen, paint.surface, 'right');
}

// On a plate of its own, so that it can be read over the points.
function label(pen, text, x, y, colour, plate, align) {
  const wide = pen.measureText(text).width + 8;
  pen.globalAlpha = 0.85;
  pen.fillStyle = plate;
  pen.fillRect(align === 'right' ? x - wide + 4 : x - 4, y - 9, wide, 18);
  pen.globalAlpha = 1;
  write(pen, text, x, y, colour, align);
}

// Words

function showLosses() {
  const words = lossWords();
  lossHead.textContent = `At ${grouped(length)} tokens, of ${grouped(current.rows)} ${current.noun}`;
  while (lossList.children.length > words.length) lossList.lastChild.remove();
  words.forEach(([count, what], index) => {
    const item = lossList.children[index] ?? make('li', lossList, '');
    item.className = count ? 'wb-lengths-some' : '';
    item.replaceChildren();
    make('b', item, '', percent(count));
    make('span', item, '', `${what}${count ? ` (${grouped(count)})` : ''}`);
  });
  line.setAttribute('aria-valuemin', String(current.low));
  line.setAttribute('aria-valuemax', String(current.high));
  line.setAttribute('aria-valuenow', String(length));
  const spoken = words.map(([count, what]) => `${percent(count)} ${what}`).join(', ');
  line.setAttribute('aria-valuetext', `${grouped(length)} tokens: ${spoken}`);
}

function showWords() {
  measure.textContent = `${current.noun} by tokens, counted with ${current.model}; drag the line`;
  advice.textContent = `${grouped(current.suggestion)} is the shortest usual length that keeps 95\u00a0% whole.`;
  cloudCard.hidden = !current.cloud;
  if (!current.cloud) return;
  cloudReading.textContent = current.cloud.reading;
  cloudCanvas.setAttribute('aria-label', current.cloud.reading);
}

function render() {
  waiting = 0;
  if (!element.isConnected) {
    sizes.disconnect();
    theme.disconnect();
    return;
  }
  empty.hidden = Boolean(current);
  pair.hidden = !current;
  // In a tab that is not open there is no size to draw for; the size observer calls again when it opens.
  if (!current || !root.clientWidth) return;
  const paint = colours();
  showWords();
  showLosses();
  drawPlot(paint);
  if (current.cloud) drawCloud(paint);
}

function refresh() {
  if (!waiting) waiting = requestAnimationFrame(render);
}

// What a person does

function moveTo(value) {
  length = held(value);
  refresh();
}

function moveUnder(event) {
  const step = keyStep();
  const tokens = frame.tokensAt(event.clientX - plot.getBoundingClientRect().left);
  moveTo(Math.min(current.top, Math.round(tokens / step) * step));
}

function release() {
  clearTimeout(resting);
  dragging = false;
  if (length === released) return;
  released = length;
  trigger('release', { max_length: length });
}

plot.addEventListener('pointerdown', (event) => {
  if (!frame || event.button !== 0) return;
  dragging = true;
  plot.setPointerCapture(event.pointerId);
  line.focus({ preventScroll: true });
  event.preventDefault();
  moveUnder(event);
});
plot.addEventListener('pointermove', (event) => { if (dragging) moveUnder(event); });
plot.addEventListener('pointerup', () => { if (dragging) release(); });
// The page scrolls instead: the hand wanted something else.
plot.addEventListener('pointercancel', () => { dragging = false; moveTo(released); });

line.addEventListener('keydown', (event) => {
  if (!current) return;
  const step = keyStep();
  const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -8, PageUp: 8 }[event.key];
  const to = { Home: current.low, End: current.high }[event.key] ?? (steps && length + steps * step);
  if (to === undefined) return;
  event.preventDefault();
  moveTo(to);
});
line.addEventListener('keyup', () => {
  clearTimeout(resting);
  resting = setTimeout(release, KEYS_REST);
});
line.addEventListener('blur', () => { if (!dragging) release(); });

watch('value', () => {
  current = readValue();
  frame = null;
  if (current && !dragging) length = released = current.max_length;
  refresh();
});

const sizes = new ResizeObserver(refresh);
sizes.observe(root);
const theme = new MutationObserver(refresh);
[document.documentElement, document.body].forEach((node) => theme.observe(node, { attributeFilter: ['class'] }));
refresh();
