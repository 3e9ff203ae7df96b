// A chart as a file: its numbers as CSV, its picture as PNG or SVG. Both pictures are drawn by what draws the chart on the
// page, with another pen. What comes from outside is escaped, in SVG and in CSV.

const PICTURE_WIDE = 900;     // units
const PICTURE_HIGH = 360;     // of the plot alone
const PICTURE_EDGE = 20;

// The few things of a canvas that the drawing uses, written down as SVG. measure: a canvas pen, which knows how wide text is.
class SvgPen {
  constructor(measure) {
    Object.assign(this, { measure, parts: [], path: '', dash: [], moved: [0, 0], saved: [] });
    Object.assign(this, { strokeStyle: '', fillStyle: '', lineWidth: 1, globalAlpha: 1, font: '', textAlign: '' });
    Object.assign(this, { textBaseline: '', lineJoin: '', lineCap: '' });
  }

  at(x, y) { return `${(x + this.moved[0]).toFixed(2)} ${(y + this.moved[1]).toFixed(2)}`; }
  beginPath() { this.path = ''; }
  moveTo(x, y) { this.path += `M${this.at(x, y)}`; }
  lineTo(x, y) { this.path += `L${this.at(x, y)}`; }
  closePath() { this.path += 'Z'; }
  rect(x, y, wide, high) { this.path += `M${this.at(x, y)}h${wide.toFixed(2)}v${high.toFixed(2)}h${(-wide).toFixed(2)}Z`; }
  arc(x, y, r) { this.path += `M${this.at(x - r, y)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`; }
  setLineDash(dash) { this.dash = dash; }
  measureText(text) { this.measure.font = this.font; return this.measure.measureText(text); }
  translate(x, y) { this.moved = [this.moved[0] + x, this.moved[1] + y]; }
  save() { this.saved.push({ moved: this.moved, open: 0 }); }

  restore() {
    const { moved, open } = this.saved.pop();
    this.moved = moved;
    this.parts.push('</g>'.repeat(open));
  }

  clip() {
    const id = `clip${this.parts.length}`;
    this.parts.push(`<clipPath id="${id}"><path d="${this.path}"/></clipPath><g clip-path="url(#${id})">`);
    this.saved[this.saved.length - 1].open += 1;
  }

  stroke() {
    const dash = this.dash.length ? ` stroke-dasharray="${this.dash.join(' ')}"` : '';
    const ends = ` stroke-linecap="${this.lineCap || 'butt'}" stroke-linejoin="${this.lineJoin || 'miter'}"`;
    const look = `stroke="${escaped(this.strokeStyle)}" stroke-width="${this.lineWidth}" opacity="${this.globalAlpha}"`;
    this.parts.push(`<path d="${this.path}" fill="none" ${look}${dash}${ends}/>`);
  }

  fill() { this.parts.push(`<path d="${this.path}" fill="${escaped(this.fillStyle)}" opacity="${this.globalAlpha}"/>`); }

  fillRect(x, y, wide, high) {
    this.beginPath();
    this.rect(x, y, wide, high);
    this.fill();
  }

  fillText(text, x, y) {
    const anchor = { center: 'middle', right: 'end' }[this.textAlign] ?? 'start';
    const [left, top] = this.at(x, y).split(' ');
    const look = `fill="${escaped(this.fillStyle)}" text-anchor="${anchor}" style="font:${escaped(this.font)}"`;
    this.parts.push(`<text x="${left}" y="${top}" dy=".35em" ${look}>${escaped(text)}</text>`);
  }

  whole(wide, high) {
    const look = `xmlns="http://www.w3.org/2000/svg" width="${wide}" height="${high}" viewBox="0 0 ${wide} ${high}"`;
    return `<svg ${look}>${this.parts.join('')}</svg>`;
  }
}

// XML has no control characters, not even escaped ones.
function escaped(text) {
  const signs = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return String(text).replace(/[\0-\x08\x0b\x0c\x0e-\x1f]/g, '\ufffd').replace(/[&<>"']/g, (sign) => signs[sign]);
}

// A spreadsheet would take a cell that begins with one of these signs for a formula.
function cell(text) {
  return `"${String(text).replace(/^[=+\-@\t\r]/, "'$&").replace(/"/g, '""')}"`;
}

function csvOf(chart) {
  const columns = chart.lines.flatMap((line) => {
    const ends = line.band ? [[1, 'low'], [2, 'high']] : [];
    const bands = ends.map(([place, end]) => ({ name: `${lineLabel(line)}, ${end}`, points: line.band.map((one) => [one[0], one[place]]) }));
    return [{ name: lineLabel(line), points: line.points }, ...bands];
  });
  const known = columns.map(({ points }) => new Map(points.map(([x, y]) => [x, y])));
  const head = [chart.x, ...columns.map(({ name }) => name)].map(cell).join(',');
  const rows = loggedSteps(chart).map((step) => [step, ...known.map((one) => one.get(step) ?? '')].join(','));
  return `${[head, ...rows].join('\r\n')}\r\n`;
}

// Title, what is measured, the plot as it is zoomed on the page, and what its lines are.
function drawPicture(chart, paint) {
  const own = getComputedStyle(element).fontFamily;
  const write = (text, x, y, size, colour, bold = '') => {
    Object.assign(pen, { font: `${bold}${size}px ${own}`, fillStyle: colour, textAlign: 'left', textBaseline: 'middle' });
    pen.fillText(text, x, y);
  };
  pen.font = `12px ${own}`;
  let [x, y] = [PICTURE_EDGE, PICTURE_EDGE + 70];
  const items = legendItems(chart).filter((item) => !view.hidden.has(item.key)).map((item) => {
    const wide = 26 + pen.measureText(item.label).width + 22;
    if (x + wide > PICTURE_WIDE - PICTURE_EDGE && x > PICTURE_EDGE) [x, y] = [PICTURE_EDGE, y + 20];
    const placed = { item, x, y };
    x += wide;
    return placed;
  });
  const top = y + 16;
  const high = top + PICTURE_HIGH + PICTURE_EDGE;
  pen.fillStyle = paint.surface;
  pen.fillRect(0, 0, PICTURE_WIDE, high);
  write(chart.title, PICTURE_EDGE, PICTURE_EDGE + 10, 18, paint.ink, '600 ');
  write(measureOf(chart), PICTURE_EDGE, PICTURE_EDGE + 38, 13, paint.muted);
  items.forEach(({ item, x: left, y: middle }) => {
    pen.strokeStyle = paint[item.role] ?? paint.ink;
    pen.lineWidth = 2.5;
    pen.lineCap = 'round';
    pen.setLineDash(DASHES[item.style] ?? []);
    pen.beginPath();
    pen.moveTo(left, middle);
    pen.lineTo(left + 18, middle);
    pen.stroke();
    pen.setLineDash([]);
    write(item.label, left + 26, middle, 12, paint.ink);
  });
  pen.save();
  pen.translate(PICTURE_EDGE, top);
  drawPlot(chart, paint, PICTURE_WIDE - 2 * PICTURE_EDGE, PICTURE_HIGH);
  pen.restore();
  return high;
}

// The page's own pen is put aside for as long as another one draws.
function withPen(other, act) {
  const own = pen;
  pen = other;
  try { return act(); } finally { pen = own; }
}

function svgOf(chart) {
  const other = new SvgPen(document.createElement('canvas').getContext('2d'));
  const high = withPen(other, () => drawPicture(chart, colours()));
  return other.whole(PICTURE_WIDE, high);
}

// Twice as many pixels as units. Its height is known once it was drawn, so it is drawn twice.
function pngOf(chart, done) {
  const sheet = document.createElement('canvas');
  const other = sheet.getContext('2d');
  const high = withPen(other, () => drawPicture(chart, colours()));
  Object.assign(sheet, { width: 2 * PICTURE_WIDE, height: 2 * high });
  other.setTransform(2, 0, 0, 2, 0, 0);
  withPen(other, () => drawPicture(chart, colours()));
  sheet.toBlob(done, 'image/png');
}

function save(ending, blob) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = `${String(current.id ?? 'chart').replace(/[^a-z0-9-]/gi, '-')}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const SAVES = {
  CSV: () => save('csv', new Blob(['\ufeff', csvOf(current)], { type: 'text/csv' })),
  PNG: () => pngOf(current, (blob) => save('png', blob)),
  SVG: () => save('svg', new Blob([svgOf(current)], { type: 'image/svg+xml' })),
};
