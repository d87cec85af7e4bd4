import {frame} from './page.js';

frame();
for (const e of document.querySelectorAll('pre, table')) e.tabIndex = 0; // it may be wider than the screen
