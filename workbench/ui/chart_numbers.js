// Numbers of a chart: how they are written, where the ticks of an axis lie, and the smoothed line. Nothing here knows the page.

const SMOOTH_FROM = 60;       // points; below that a raw line is easy to read
const SMOOTH_KEEP = 0.85;     // how much less each further neighbour of a point weighs in the smoothed line

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

// Of a log axis: decades, with what lies between them where there are few; and where there is less than one, as on any axis.
function logTicks([low, high]) {
  const decades = Math.log10(high / low);
  if (decades < 1) {
    const found = ticks([low, high], 4);
    return { step: found.step, values: found.values.filter((value) => value > 0) };
  }
  const within = decades < 2.5 ? [1, 2, 5] : [1];
  const from = Math.floor(Math.log10(low));
  const powers = Array.from({ length: Math.ceil(Math.log10(high)) - from + 1 }, (_, index) => 10 ** (from + index));
  const values = powers.flatMap((power) => within.map((times) => times * power));
  return { step: null, values: values.filter((value) => value >= low && value <= high) };
}

function nearest(values, wanted) {
  return values.reduce((best, x) => (best === null || Math.abs(x - wanted) < Math.abs(best - wanted) ? x : best), null);
}
