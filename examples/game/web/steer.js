// steer.js: which way the player is told to go, by keys or by a finger on the field.

import {digit} from './rules.js';

const ways = {ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0], KeyW: [0, -1], KeyS: [0, 1], KeyA: [-1, 0], KeyD: [1, 0]};
const dead = 14; // px that a finger may tremble

export function steer(canvas, {look}) {
  const held = new Set();
  let finger; // {id, x, y, way}

  // Keys are for the field and for the page around it, and not for what is typed or chosen.
  const busy = (event) => event.target.closest?.('input, select, textarea, summary, a, details') || event.ctrlKey || event.altKey || event.metaKey;
  addEventListener('keydown', (event) => {
    if (busy(event)) return;
    if (event.code === 'KeyL' && event.target === canvas && !event.repeat) look();
    if (!ways[event.code]) return;
    event.preventDefault();
    held.add(event.code);
  });
  addEventListener('keyup', (event) => held.delete(event.code));
  const letGo = () => { held.clear(); finger = undefined; };
  addEventListener('blur', letGo);
  document.addEventListener('visibilitychange', letGo);

  canvas.addEventListener('pointerdown', (event) => {
    canvas.focus({preventScroll: true});
    canvas.setPointerCapture(event.pointerId);
    finger = {id: event.pointerId, x: event.clientX, y: event.clientY, way: [0, 0]};
  });
  canvas.addEventListener('pointermove', (event) => {
    if (event.pointerId !== finger?.id) return;
    const x = event.clientX - finger.x, y = event.clientY - finger.y;
    if (Math.hypot(x, y) < dead) return;
    const eighth = Math.round(Math.atan2(y, x) / (Math.PI / 4)) * Math.PI / 4;
    finger.way = [Math.round(Math.cos(eighth)), Math.round(Math.sin(eighth))];
  });
  for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, (event) => { if (event.pointerId === finger?.id) finger = undefined; });

  return {
    // way is the digit of the direction, undefined for none.
    get way() {
      let [dx, dy] = finger?.way ?? [0, 0];
      for (const code of held) { dx += ways[code][0]; dy += ways[code][1]; }
      return dx || dy ? digit(Math.sign(dx), Math.sign(dy)) : undefined;
    },
  };
}
