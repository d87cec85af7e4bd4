// desk.js: what editors can do. A note is published as any message is, and the rule of
// the channel says who may. A correction is a call, since the back end has the match, and
// it names the version that the editor saw: if a goal falls meanwhile, it is refused.

import {el} from '/demo/assets/page.js';

const $ = (id) => document.getElementById(id);

// desk sets the desk up and returns what opens the form for a match.
export function desk(client, leagues) {
  let seen; // {league, match, version, state}
  $('note').hidden = false;
  $('note-league').append(...[...leagues].map(([value, words]) => el('option', {value}, words)));

  $('note').onsubmit = async (event) => {
    event.preventDefault();
    const text = $('note-text').value.trim();
    if (!text) return;
    $('note-state').textContent = 'On its way';
    $('note-text').value = '';
    try { // kept and sent again over breaks, and stored once
      await client.channel(`scores:${$('note-league').value}:news`).publish('note', {text});
      $('note-state').textContent = 'Published';
    } catch (error) {
      $('note-state').textContent = error.message;
      $('note-text').value ||= text;
    }
  };

  function fill() {
    const m = seen.state.get(seen.match);
    if (!m) return void ($('desk-said').textContent = 'The match is no longer on the board.');
    seen.version = m.version;
    $('desk-home').textContent = m.home;
    $('desk-away').textContent = m.away;
    [$('desk-goals-home').value, $('desk-goals-away').value] = m.goals;
  }

  $('correction').onsubmit = async (event) => {
    event.preventDefault();
    const {league, match, version} = seen;
    const goals = [$('desk-goals-home').valueAsNumber, $('desk-goals-away').valueAsNumber];
    try {
      await client.call('scores-correct', {league, match, version, goals, reason: $('desk-reason').value.trim()});
      $('desk').close();
    } catch (error) {
      // An answer that was lost may mean that it is done: the board says whether.
      $('desk-said').textContent = error.code === 'unknown' ? 'Whether it was done is not known. Look at the board.' : error.message;
      fill();
    }
  };
  $('desk-close').onclick = () => $('desk').close();

  return (league, match, state) => {
    seen = {league, match, state};
    $('desk-said').textContent = $('desk-reason').value = '';
    fill();
    $('desk').showModal();
  };
}
