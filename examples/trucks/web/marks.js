// marks.js: how vehicles look. Each status has a shape as well as a colour: an
// arrow drives, a square loads, a ring rests, and a cross is broken down.

import {write} from './map.js';

const arrow = new Path2D('M0-7.5 5.5 6 0 2.8-5.5 6Z');
const square = new Path2D('M-4.6-4.6H4.6V4.6H-4.6Z');
const ring = new Path2D('M4.6 0A4.6 4.6 0 1 1-4.6 0 4.6 4.6 0 1 1 4.6 0Z');
const cross = new Path2D('M-5.2-2.4-2.4-5.2 0-2.8 2.4-5.2 5.2-2.4 2.8 0 5.2 2.4 2.4 5.2 0 2.8-2.4 5.2-5.2 2.4-2.8 0Z');
const shapes = {driving: arrow, loading: square, resting: ring, broken: cross};

export const sayings = {driving: 'Driving', loading: 'Loading', resting: 'Resting', broken: 'Broken down', silent: 'Silent'};

export function size(view) {
  return Math.min(Math.max(0.72 * view.zoom ** 0.45, view.width < 520 ? 0.72 : 0.85), 1.9);
}

// mark draws one status at the origin of g.
export function mark(g, status, ink, stale = false) {
  const shape = shapes[status] ?? ring;
  g.lineJoin = 'round';
  g.lineWidth = 1.8;
  g.strokeStyle = ink.edge;
  g.fillStyle = stale ? ink.silent : ink[status];
  g.stroke(shape);
  g.fill(shape);
  if (status === 'resting') {
    g.beginPath();
    g.arc(0, 0, 2, 0, 7);
    g.fillStyle = ink.edge;
    g.fill();
  }
}

// vehicles draws the whole fleet, and the trail of the one that is looked at.
export function vehicles(g, view, ratio, ink, fleet, now, country, chosen, hovered) {
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, view.width, view.height);
  const big = size(view);
  if (chosen) trail(g, view, ink, chosen, now);
  const draw = (v) => {
    const at = v.at(now);
    const [x, y] = view.toScreen(at.lon, at.lat);
    if (x < -20 || y < -20 || x > view.width + 20 || y > view.height + 20) return;
    const stale = fleet.stale(v, now);
    const times = v === chosen || v === hovered ? big * 1.45 : big;
    const turn = v.data.status === 'driving' ? at.heading * Math.PI / 180 : 0;
    const cos = Math.cos(turn) * times * ratio, sin = Math.sin(turn) * times * ratio;
    g.setTransform(cos, sin, -sin, cos, x * ratio, y * ratio);
    g.globalAlpha = v.presence(now) * (stale ? 0.75 : 1);
    mark(g, v.data.status, ink, stale);
  };
  for (const v of fleet.leaving.values()) draw(v);
  for (const v of fleet.vehicles.values()) if (v !== chosen && v !== hovered) draw(v);
  for (const v of new Set([chosen, hovered])) if (v) draw(v);
  g.globalAlpha = 1;
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  country.names(g, view, ink);
  if (chosen) circle(g, view, ink, chosen, now, big);
  if (hovered && hovered !== chosen) label(g, view, ink, hovered, now, big);
}

function circle(g, view, ink, vehicle, now, big) {
  const at = vehicle.at(now);
  g.beginPath();
  g.arc(...view.toScreen(at.lon, at.lat), 13 * big, 0, 7);
  g.lineWidth = 2.5;
  g.strokeStyle = ink.place;
  g.stroke();
}

function label(g, view, ink, vehicle, now, big) {
  const at = vehicle.at(now);
  const [x, y] = view.toScreen(at.lon, at.lat);
  write(g, ink, vehicle.key, x, y - 16 * big, '600 13px', ink.place);
}

function trail(g, view, ink, vehicle, now) {
  const at = vehicle.at(now);
  // The last report is where it is gliding to, not where it has been.
  const been = vehicle.trail.slice(0, -1);
  been.push([at.lon, at.lat]);
  g.beginPath();
  let pen = 'moveTo';
  for (const point of been) {
    if (point) g[pen](...view.toScreen(...point));
    pen = point ? 'lineTo' : 'moveTo';
  }
  g.lineJoin = g.lineCap = 'round';
  for (const [width, colour] of [[6, ink.halo], [3, ink.trail]]) {
    g.lineWidth = width;
    g.strokeStyle = colour;
    g.stroke();
  }
}
