// draw.js: the field on its canvas.

import {hue} from '/demo/assets/page.js';
import {body, cell} from './rules.js';

const small = 560, few = 13; // px of a screen that shows only so many columns of the field

export const title = (user) => user.startsWith('~') ? user.slice(1) : user;

export class Picture {
  rings = []; // where a bell was a moment ago: {x, y, at}

  constructor(canvas, field) {
    Object.assign(this, {canvas, field, g: canvas.getContext('2d')});
    this.mix();
  }

  mix() {
    const style = getComputedStyle(document.documentElement);
    this.ink = Object.fromEntries(['meadow', 'tile', 'hedge', 'hedge-top', 'bell', 'bell-edge', 'own-ring', 'name', 'shadow', 'text', 'face-l'].map((n) => [n, style.getPropertyValue(`--${n}`).trim()]));
    this.land = undefined;
  }

  // begin clears the picture, and has lengths be those of the field. On a small screen
  // it shows a part of the field, around a place.
  begin(around) {
    const {canvas, g, field} = this, ratio = devicePixelRatio;
    const wide = Math.round(canvas.clientWidth * ratio), high = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== wide || canvas.height !== high) {
      Object.assign(canvas, {width: wide, height: high});
      this.land = undefined;
    }
    const columns = canvas.clientWidth < small ? few : field.width;
    this.scale = wide / (columns * cell);
    const width = Math.round(field.width * cell * this.scale), height = Math.round(field.height * cell * this.scale);
    const shift = (at, shown, all) => -Math.round(Math.min(Math.max(0, at * this.scale - shown / 2), Math.max(0, all - shown)));
    const left = shift(around?.x ?? 0, wide, width), top = shift(around?.y ?? 0, high, height);
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.drawImage(this.land ??= this.drawLand(width, height), left, top);
    g.setTransform(this.scale, 0, 0, this.scale, left, top);
  }

  drawLand(wide, high) {
    const land = new OffscreenCanvas(Math.max(1, wide), Math.max(1, high)), g = land.getContext('2d'), {ink, field} = this;
    g.fillStyle = ink.meadow;
    g.fillRect(0, 0, wide, high);
    g.scale(this.scale, this.scale);
    const cells = (draw) => field.rows.forEach((row, y) => [...row].forEach((c, x) => draw(x, y, c === '#')));
    g.fillStyle = ink.tile;
    cells((x, y) => (x + y) % 2 && g.fillRect(x * cell, y * cell, cell, cell));
    g.fillStyle = ink.shadow;
    cells((x, y, wall) => wall && g.fillRect(x * cell + 8, y * cell + 14, cell, cell));
    g.fillStyle = ink.hedge;
    cells((x, y, wall) => wall && g.fillRect(x * cell, y * cell, cell, cell));
    g.fillStyle = ink['hedge-top'];
    cells((x, y, wall) => wall && g.fillRect(x * cell, y * cell, cell, cell - (field.wall(x, y + 1) ? 0 : 18)));
    return land;
  }

  bell(x, y) {
    const {g, ink} = this;
    g.fillStyle = ink.bell;
    g.strokeStyle = ink['bell-edge'];
    g.lineWidth = 5;
    g.lineJoin = 'round';
    g.beginPath();
    g.moveTo(x - 24, y + 14);
    g.quadraticCurveTo(x - 15, y + 6, x - 15, y - 8);
    g.arc(x, y - 8, 15, Math.PI, 0);
    g.quadraticCurveTo(x + 15, y + 6, x + 24, y + 14);
    g.closePath();
    g.fill();
    g.stroke();
    g.fillStyle = ink['bell-edge'];
    g.beginPath();
    g.arc(x, y + 20, 6, 0, 7);
    g.fill();
  }

  player({user, x, y}, own) {
    const {g, ink} = this, bot = user.startsWith('~'), r = bot ? body * 0.72 : body;
    g.fillStyle = ink.shadow;
    g.beginPath();
    g.ellipse(x, y + r * 0.9, r * 0.9, r * 0.35, 0, 0, 7);
    g.fill();
    g.fillStyle = `hsl(${hue(user)} ${bot ? 12 : 45}% ${ink['face-l']})`;
    g.strokeStyle = ink['own-ring'];
    g.lineWidth = own ? 8 : 4;
    g.beginPath();
    g.arc(x, y, r, 0, 7);
    g.fill();
    if (own || !bot) g.stroke();
    g.fillStyle = '#fff';
    g.textAlign = 'center';
    g.font = `700 ${r}px ${ink.text}`;
    g.fillText(title(user).slice(0, 1).toUpperCase(), x, y + r * 0.36);
    if (bot) return;
    g.fillStyle = ink.name;
    g.font = `650 ${Math.max(26, 12 / this.scale)}px ${ink.text}`;
    g.fillText(title(user), x, y - r - 14);
  }

  // ghost is where the server has one's own player.
  ghost({x, y}) {
    const {g, ink} = this;
    g.strokeStyle = ink['own-ring'];
    g.lineWidth = 3;
    g.setLineDash([10, 8]);
    g.beginPath();
    g.arc(x, y, body, 0, 7);
    g.stroke();
    g.setLineDash([]);
  }

  ring(now) {
    const {g, ink} = this;
    this.rings = this.rings.filter((r) => now - r.at < 450);
    g.strokeStyle = ink.bell;
    for (const r of this.rings) {
      const share = (now - r.at) / 450;
      g.globalAlpha = 1 - share;
      g.lineWidth = 6;
      g.beginPath();
      g.arc(r.x, r.y, 25 + 60 * share, 0, 7);
      g.stroke();
    }
    g.globalAlpha = 1;
  }
}
