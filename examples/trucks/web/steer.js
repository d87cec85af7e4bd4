// steer.js: the map under fingers, mouse, wheel and keys.
//
//   steer(canvas, view, {moved, took, hover, tap, next, release})
//
// moved(): the view is another. took(): somebody dragged it. hover(x, y), or
// hover() when the mouse is gone. tap(x, y). next(±1): the next vehicle.
// release(): let go of the one that is looked at.

const slack = 6; // px that a tap may wander

export function steer(canvas, view, on) {
  const fingers = new Map(); // pointer → [x, y]
  let wandered = 0, many = false;

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const span = ([a, b]) => Math.hypot(a[0] - b[0], a[1] - b[1]);
  const middle = ([a, b]) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];

  canvas.onpointerdown = (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    if (fingers.size === 0) [wandered, many] = [0, false];
    fingers.set(event.pointerId, place(event));
    many ||= fingers.size > 1;
    on.hover();
  };

  canvas.onpointermove = (event) => {
    const at = place(event);
    if (!fingers.has(event.pointerId)) {
      if (event.pointerType === 'mouse') on.hover(...at);
      return;
    }
    const before = [...fingers.values()].slice(0, 2);
    const was = fingers.get(event.pointerId);
    fingers.set(event.pointerId, at);
    const after = [...fingers.values()].slice(0, 2);
    wandered += Math.hypot(at[0] - was[0], at[1] - was[1]);
    if (after.length === 2) {
      const [x, y] = middle(after), [fromX, fromY] = middle(before);
      view.pan(x - fromX, y - fromY);
      view.zoomAt(x, y, span(after) / Math.max(span(before), 1));
    } else if (wandered > slack) {
      view.pan(at[0] - was[0], at[1] - was[1]);
      canvas.classList.add('dragging');
    } else {
      return;
    }
    on.took();
    on.moved();
  };

  canvas.onpointerup = canvas.onpointercancel = (event) => {
    if (!fingers.delete(event.pointerId)) return;
    if (event.type === 'pointerup' && wandered <= slack && !many) on.tap(...place(event));
    if (fingers.size === 0) canvas.classList.remove('dragging');
  };
  canvas.onpointerleave = () => on.hover();

  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 33 : 1;
    const step = Math.min(Math.max(event.deltaY * lines, -200), 200);
    // A trackpad's pinch comes as a wheel with ctrl, in smaller steps.
    view.zoomAt(...place(event), Math.exp(-step * (event.ctrlKey ? 0.01 : 0.002)));
    on.moved();
  }, {passive: false});

  const step = 80; // px
  const keys = {
    ArrowLeft: () => view.pan(step, 0),
    ArrowRight: () => view.pan(-step, 0),
    ArrowUp: () => view.pan(0, step),
    ArrowDown: () => view.pan(0, -step),
    '+': () => view.zoomAt(view.width / 2, view.height / 2, 1.4),
    '=': () => view.zoomAt(view.width / 2, view.height / 2, 1.4),
    '-': () => view.zoomAt(view.width / 2, view.height / 2, 1 / 1.4),
    0: () => view.fit(),
    n: () => on.next(1),
    p: () => on.next(-1),
    Escape: () => on.release(),
  };
  canvas.onkeydown = (event) => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (event.key.startsWith('Arrow')) on.took();
    act();
    on.moved();
  };
}
