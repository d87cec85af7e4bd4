// gauges.js: small drawings of what a device measures.

const svg = (tag, attributes, ...children) => {
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  e.append(...children);
  return e;
};

const wide = 120, high = 34;

export function spark() {
  return svg('svg', {class: 'spark-line', viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: 'none', 'aria-hidden': 'true'},
    svg('polyline', {}), svg('path', {class: 'now'}));
}

// drawSpark draws the last values, the newest at the right.
export function drawSpark(e, values, room = 60) {
  const low = Math.min(...values), span = Math.max(1.5, Math.max(...values) - low);
  const at = values.map((v, i) => [wide - 4 - (values.length - 1 - i) * (wide - 8) / (room - 1), high - 4 - (high - 8) * (v - low) / span]);
  e.firstChild.setAttribute('points', at.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' '));
  const [x, y] = at.at(-1) ?? [];
  e.lastChild.setAttribute('d', at.length > 0 ? `M${x.toFixed(1)} ${y.toFixed(1)}h0` : ''); // a dot that is round however wide the drawing
}

export function bars() {
  return svg('svg', {class: 'bars', viewBox: '0 0 22 16', 'aria-hidden': 'true'},
    ...[0, 1, 2, 3].map((i) => svg('rect', {x: 1 + i * 5.4, y: 11 - i * 3.4, width: 3.6, height: 4 + i * 3.4, rx: 1})));
}

// drawBars fills one to four bars for a signal in dBm.
export function drawBars(e, signal) {
  const strong = 1 + (signal > -85) + (signal > -75) + (signal > -65);
  [...e.children].forEach((bar, i) => bar.setAttribute('class', i < strong ? 'on' : ''));
}
