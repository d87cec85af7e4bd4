import {frame} from '/demo/assets/page.js';

frame();
for (const pre of document.querySelectorAll('pre')) pre.tabIndex = 0; // it may be wider than the screen
