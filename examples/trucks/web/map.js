// map.js: the country on a canvas, and how to move about in it. The outlines come
// from the server's own drawing (map.json); there are no tiles.

const unit = 1000; // pixels of a degree at scale 1, so that paths keep to whole numbers

const world = ([lon, lat]) => [lon * unit, -lat * unit];

// View is the part of the world that is on the screen.
export class View {
  width = 1; height = 1; // CSS pixels
  scale = 1; x = 0; y = 0; // the centre, in world pixels

  constructor([west, south, east, north]) {
    [this.left, this.bottom] = world([west, south]);
    [this.right, this.top] = world([east, north]);
  }

  get least() {
    return Math.min(this.width / (this.right - this.left), this.height / (this.bottom - this.top));
  }

  get zoom() { return this.scale / this.least; } // 1: all of it

  resize(width, height) {
    const zoom = this.width > 1 ? this.zoom : 0;
    Object.assign(this, {width, height});
    if (zoom) this.scale = zoom * this.least;
    else this.fit();
    this.#keep();
  }

  fit() {
    this.scale = this.least;
    this.x = (this.left + this.right) / 2;
    this.y = (this.top + this.bottom) / 2;
  }

  toScreen(lon, lat) {
    return [(lon * unit - this.x) * this.scale + this.width / 2, (-lat * unit - this.y) * this.scale + this.height / 2];
  }

  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.#keep();
  }

  // What is under (x, y) stays there.
  zoomAt(x, y, factor) {
    const before = this.scale;
    this.scale = Math.min(Math.max(before * factor, this.least), this.least * 32);
    const grown = 1 / before - 1 / this.scale;
    this.x += (x - this.width / 2) * grown;
    this.y += (y - this.height / 2) * grown;
    this.#keep();
  }

  centre(lon, lat) {
    [this.x, this.y] = world([lon, lat]);
    this.#keep();
  }

  #keep() {
    this.x = Math.min(Math.max(this.x, this.left), this.right);
    this.y = Math.min(Math.max(this.y, this.top), this.bottom);
  }
}

// write puts text on the map so that it can be read on whatever is under it.
export function write(g, ink, text, x, y, font, colour) {
  g.textAlign = 'center';
  g.textBaseline = 'middle';
  g.lineJoin = 'round';
  g.font = `${font} ${ink.font}`;
  g.strokeStyle = ink.halo;
  g.lineWidth = 4;
  g.strokeText(text, x, y);
  g.fillStyle = colour;
  g.fillText(text, x, y);
}

function path(line, closed) {
  const p = new Path2D();
  line.forEach((point, i) => p[i ? 'lineTo' : 'moveTo'](...world(point)));
  if (closed) p.closePath();
  return p;
}

function all(lines, closed) {
  const p = new Path2D();
  for (const line of lines) p.addPath(path(line, closed));
  return p;
}

// Country draws the land with everything that does not move.
export class Country {
  constructor(sheet) {
    this.sheet = sheet;
    this.land = all(sheet.land, true);
    this.water = all(sheet.water, true);
    this.rivers = all(sheet.rivers);
    this.woods = all(sheet.woods, true);
    this.borders = all(sheet.borders);
    this.regions = sheet.regions.map((r) => ({...r, path: path(r.area, true)}));
    this.roads = [3, 2, 1].map((kind) => all(sheet.roads.filter((r) => r.kind === kind).map((r) => r.line)));
  }

  // followed: the ids of the regions that are listened to; the others are pale.
  draw(g, view, ratio, ink, followed) {
    const {scale, zoom} = view;
    const pixel = 1 / scale;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.fillStyle = ink.sea;
    g.fillRect(0, 0, view.width, view.height);
    g.setTransform(ratio * scale, 0, 0, ratio * scale,
      ratio * (view.width / 2 - view.x * scale), ratio * (view.height / 2 - view.y * scale));
    g.lineJoin = g.lineCap = 'round';
    const stroke = (p, colour, width) => {
      g.strokeStyle = colour;
      g.lineWidth = width * pixel;
      g.stroke(p);
    };
    const thick = Math.min(zoom, 6) ** 0.6; // lines grow with the map, but not as fast

    for (const [reach, colour] of [[26, ink.shallow], [12, ink.shore]]) stroke(this.land, colour, reach * thick);
    g.fillStyle = ink.land;
    g.fill(this.land);
    g.save();
    g.clip(this.land);
    g.fillStyle = ink.wood;
    g.fill(this.woods);
    for (const r of this.regions) {
      if (followed.has(r.id)) continue;
      g.fillStyle = ink.away;
      g.fill(r.path);
    }
    g.setLineDash([5 * pixel * thick, 4 * pixel * thick]);
    stroke(this.borders, ink.border, 1.1 * thick);
    g.setLineDash([]);
    stroke(this.rivers, ink.river, 1.4 * thick);
    g.restore();
    g.fillStyle = ink.lake;
    g.fill(this.water);
    stroke(this.water, ink.coast, 1);
    stroke(this.land, ink.coast, 1.2);

    const wide = [1.1, 1.7, 2.6].map((w) => w * thick);
    this.roads.forEach((p, i) => stroke(p, ink.casing, wide[i] + 1.6));
    this.roads.forEach((p, i) => stroke(p, i === 2 ? ink.motorway : ink.road, wide[i]));
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (zoom > 3) return;
    for (const r of this.regions) {
      write(g, ink, r.name, ...view.toScreen(...r.label), `italic 600 ${view.width < 520 ? 11 : 15}px`, ink.region);
    }
  }

  // The names of places are above the vehicles, to be read where most of them are.
  names(g, view, ink) {
    const small = view.width < 520;
    for (const p of this.sheet.places) {
      if (view.zoom < (small ? [0, 0, 2, 3] : [0, 0, 0, 1.6])[p.size]) continue;
      const [x, y] = view.toScreen(...p.at);
      const r = [0, 4.5, 3.5, 2.5][p.size];
      g.beginPath();
      g.arc(x, y, r, 0, 7);
      g.fillStyle = ink.halo;
      g.fill();
      g.strokeStyle = ink.place;
      g.lineWidth = 2;
      g.stroke();
      write(g, ink, p.name, x, y - r - 10, `${[0, 700, 650, 550][p.size]} ${[0, 14, 12.5, 11.5][p.size]}px`, ink.place);
    }
  }
}
