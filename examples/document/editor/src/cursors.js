// cursors.js: where the others are in the text. y-codemirror.next has this too, but writes
// style attributes that the policy of the page forbids, and takes colours from others as
// they come.

import {Annotation} from '@codemirror/state';
import {Decoration, EditorView, ViewPlugin, WidgetType} from '@codemirror/view';
import * as Y from 'yjs';

const moved = Annotation.define();

// A colour of one's own, from the name: as page.js has it.
function hue(name) {
  let h = 7;
  for (const c of name) h = (h * 31 + c.codePointAt(0)) % 360;
  return h;
}

class Caret extends WidgetType {
  constructor(name) {
    super();
    this.name = name;
  }
  eq(other) { return other.name === this.name; }
  toDOM() {
    const caret = document.createElement('span');
    caret.className = 'caret';
    caret.style.setProperty('--hue', hue(this.name));
    caret.setAttribute('aria-hidden', 'true'); // the list above the text says who is here
    const flag = caret.appendChild(document.createElement('span'));
    flag.className = 'flag';
    flag.textContent = this.name;
    return caret;
  }
  ignoreEvent() { return true; }
}

const look = EditorView.baseTheme({
  '.caret': {position: 'relative', borderLeft: '2px solid hsl(var(--hue) 60% 45%)', marginLeft: '-1px', marginRight: '-1px'},
  '.flag': {
    position: 'absolute', left: '-2px', bottom: '100%', padding: '0 .4em', borderRadius: '.3em .3em .3em 0', whiteSpace: 'nowrap',
    background: 'hsl(var(--hue) 45% 34%)', color: '#fff', fontSize: '.7rem', lineHeight: '1.5', fontWeight: '650', pointerEvents: 'none',
    userSelect: 'none', zIndex: 2,
  },
  '.chosen': {background: 'hsl(var(--hue) 60% 50% / .28)'},
});

// place is where a cursor that somebody sent is in the text; undefined if it is no cursor,
// or one in something that has not come yet.
function place(cursor, text) {
  try {
    const end = (name) => Y.createAbsolutePositionFromRelativePosition(Y.createRelativePositionFromJSON(cursor[name]), text.doc);
    const anchor = end('anchor'), head = end('head');
    return anchor?.type === text && head?.type === text ? {anchor: anchor.index, head: head.index} : undefined;
  } catch {
    return undefined;
  }
}

// cursors shows those of the others, and says where one's own is: as positions that are
// relative to characters, so that they stay right whatever is written before them.
export function cursors(text, presence) {
  const plugin = ViewPlugin.fromClass(class {
    constructor(view) {
      this.decorations = Decoration.none;
      this.heard = ({added, updated, removed}) => {
        if ([...added, ...updated, ...removed].some((id) => id !== text.doc.clientID)) view.dispatch({annotations: moved.of(true)});
      };
      presence.on('change', this.heard);
    }
    destroy() { presence.off('change', this.heard); }

    update(update) {
      if (update.selectionSet || update.focusChanged || update.docChanged) this.say(update);
      // What others wrote is in the text before it is in the editor, so positions may lie beyond its end.
      const {length} = update.state.doc;
      const ranges = [];
      for (const [id, state] of presence.getStates()) {
        const at = id !== text.doc.clientID && typeof state.name === 'string' && place(state.cursor, text);
        if (!at) continue;
        const from = Math.min(at.anchor, at.head, length), to = Math.min(Math.max(at.anchor, at.head), length);
        const name = state.name.slice(0, 32);
        if (from < to) ranges.push(Decoration.mark({class: 'chosen', attributes: {style: `--hue: ${hue(name)}`}}).range(from, to));
        ranges.push(Decoration.widget({widget: new Caret(name), side: at.head > at.anchor ? -1 : 1}).range(Math.min(at.head, length)));
      }
      this.decorations = Decoration.set(ranges, true);
    }

    say({view, state}) {
      if (!presence.getLocalState()) return;
      const {anchor, head} = state.selection.main;
      const end = (at) => Y.createRelativePositionFromTypeIndex(text, at);
      const cursor = view.hasFocus ? {anchor: end(anchor), head: end(head)} : null;
      if (JSON.stringify(cursor) !== JSON.stringify(presence.getLocalState().cursor)) presence.setLocalStateField('cursor', cursor);
    }
  }, {decorations: (value) => value.decorations});
  return [plugin, look];
}
