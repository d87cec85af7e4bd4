// editor.js: CodeMirror on a Y.Text.

import {defaultKeymap} from '@codemirror/commands';
import {EditorState} from '@codemirror/state';
import {EditorView, drawSelection, keymap, placeholder} from '@codemirror/view';
import {yCollab, yUndoManagerKeymap} from 'y-codemirror.next';
import * as Y from 'yjs';
import {cursors} from './cursors.js';

const look = EditorView.theme({
  '&': {color: 'var(--ink)', fontSize: '1.0625rem', height: '100%'},
  '&.cm-focused': {outline: 'none'},
  '.cm-scroller': {fontFamily: 'var(--text)', lineHeight: '1.6'},
  '.cm-content': {padding: '1.6em 0', caretColor: 'var(--line)'},
  '.cm-line': {padding: '0 clamp(1rem, 4vw, 2.5rem)'},
  '.cm-cursor': {borderLeft: '2px solid var(--line)'},
  '.cm-placeholder': {color: 'var(--soft)'},
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {background: 'var(--glow)'},
});

// openEditor shows a text in parent until the returned view is destroyed. CodeMirror puts
// its rules into a style element, which the policy of the page forbids; in a shadow root
// it uses a sheet that was made by a script, which the policy allows.
// most is the length of the text that may not be passed by typing; refused hears of it.
export function openEditor(parent, text, presence, {label, hint, most, refused}) {
  const root = parent.shadowRoot ?? parent.attachShadow({mode: 'open'});
  // Others may make it longer at the same time; only what is typed here can be refused.
  const bounded = EditorState.changeFilter.of((change) => {
    const grows = change.changes.newLength > change.startState.doc.length;
    const typed = change.isUserEvent('input') || change.isUserEvent('move');
    if (!typed || !grows || change.changes.newLength <= most) return true;
    refused();
    return false;
  });
  return new EditorView({
    parent: root,
    root,
    state: EditorState.create({
      doc: text.toString(),
      extensions: [
        // Only \n ends a line, for that is what the positions of the others count with.
        EditorState.lineSeparator.of('\n'),
        EditorView.clipboardInputFilter.of((pasted) => pasted.replace(/\r\n?/g, '\n')),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({'aria-label': label, spellcheck: 'true', autocapitalize: 'sentences'}),
        placeholder(hint),
        drawSelection(),
        bounded,
        // Undo takes back what was done here, and nobody else's.
        keymap.of([...yUndoManagerKeymap, ...defaultKeymap]),
        yCollab(text, null, {undoManager: new Y.UndoManager(text)}),
        cursors(text, presence),
        look,
      ],
    }),
  });
}
