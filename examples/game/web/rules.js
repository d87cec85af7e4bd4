// rules.js: how one walks, as the server does (world/field.go). Whole numbers only, so
// that both come to the same place.

export const cell = 100, body = 35, period = 50; // period: ms of one step
const pace = 30, slow = 21;

export class Field {
  constructor(drawing) {
    this.rows = drawing.trim().split('\n');
    [this.width, this.height] = [this.rows[0].length, this.rows.length];
  }

  wall(column, row) {
    return column < 0 || row < 0 || column >= this.width || row >= this.height || this.rows[row][column] === '#';
  }

  free({x, y}) {
    for (const py of [y - body, y + body - 1]) {
      for (const px of [x - body, x + body - 1]) if (this.wall(Math.floor(px / cell), Math.floor(py / cell))) return false;
    }
    return true;
  }

  // step is where one step leads. others are in the way, unless it leads away from them.
  step(from, digit, others = []) {
    const [dx, dy] = direction(digit);
    const most = dx && dy ? slow : pace;
    const to = this.slide(this.slide(from, dx, 0, most), 0, dy, most);
    for (const o of others) {
      const after = square(to, o);
      if (after < 4 * body * body && after < square(from, o)) return from;
    }
    return to;
  }

  slide(from, dx, dy, most) {
    for (let n = most; n > 0 && (dx || dy); n--) {
      const to = {x: from.x + dx * n, y: from.y + dy * n};
      if (this.free(to)) return to;
    }
    return from;
  }
}

const square = (p, q) => (p.x - q.x) ** 2 + (p.y - q.y) ** 2;
export const distance = (p, q) => Math.sqrt(square(p, q));

// Digits are ways, as on the block of numbers of a keyboard.
export function direction(digit) {
  const n = Number(digit) - 1;
  return [n % 3 - 1, 1 - Math.floor(n / 3)];
}
export const digit = (dx, dy) => String(5 + dx - 3 * dy);
