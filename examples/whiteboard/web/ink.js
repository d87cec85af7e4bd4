// ink.js: what strokes look like, on a canvas and in a file.

export const WIDTH = 1600, HEIGHT = 1200; // of a board
export const PAPER = '#fffdf7';
export const colours = {ink: '#10282c', red: '#d8382c', orange: '#e8862a', green: '#3c8c40', teal: '#17877b', blue: '#2e62c9', violet: '#7d46b8', paper: PAPER};
export const widths = {3: 'fine', 6: 'medium', 12: 'thick', 40: 'broad'};

// path answers with the path of a stroke in the language of SVG, which Path2D reads too:
// curves from the middle between two points to the next middle, so corners are round.
export function path(points) {
  const [x, y] = points;
  if (points.length < 4) return `M${x} ${y}h.01`; // a dot
  let d = `M${x} ${y}`;
  for (let i = 2; i + 3 < points.length; i += 2) {
    d += `Q${points[i]} ${points[i + 1]} ${(points[i] + points[i + 2]) / 2} ${(points[i + 1] + points[i + 3]) / 2}`;
  }
  return d + `L${points.at(-2)} ${points.at(-1)}`;
}

export function draw(context, {colour, width, points}) {
  context.strokeStyle = colours[colour];
  context.lineWidth = width;
  context.lineCap = context.lineJoin = 'round';
  context.stroke(new Path2D(path(points)));
}

// A picture of a board as a file. Everything in it is a number, or from the table above.
export function asSVG(strokes) {
  const lines = strokes.map(({colour, width, points}) => `<path d="${path(points.map(Number))}" stroke="${colours[colour]}" stroke-width="${Number(width)}"/>`);
  return new Blob([`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}">
<rect width="100%" height="100%" fill="${PAPER}"/>
<g fill="none" stroke-linecap="round" stroke-linejoin="round">
${lines.join('\n')}
</g>
</svg>
`], {type: 'image/svg+xml'});
}

export function asPNG(strokes) {
  const canvas = Object.assign(document.createElement('canvas'), {width: WIDTH, height: HEIGHT});
  const context = canvas.getContext('2d');
  context.fillStyle = PAPER;
  context.fillRect(0, 0, WIDTH, HEIGHT);
  for (const s of strokes) draw(context, s);
  return new Promise((done) => canvas.toBlob(done, 'image/png'));
}
