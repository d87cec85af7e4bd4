package main

import (
	"fmt"
	"os"
	"time"

	"ringdown/internal/load"
)

// progressLine is one line on a terminal that is written over and over; anywhere
// else it is a line per run.
type progressLine struct {
	out      *os.File
	terminal bool
	total    int
	done     int // runs, the one under way included
	what     string
	begun    time.Time
}

func newProgressLine(out *os.File, total int) *progressLine {
	info, err := out.Stat()
	return &progressLine{
		out: out, total: total, begun: time.Now(),
		terminal: err == nil && info.Mode()&os.ModeCharDevice != 0,
	}
}

func (p *progressLine) next(what string) {
	p.done++
	p.what = what
	if !p.terminal {
		fmt.Fprintf(p.out, "[%d/%d] %s%s\n", p.done, p.total, what, p.left())
	}
}

func (p *progressLine) progress(at load.Progress) {
	if p.terminal {
		fmt.Fprintf(p.out, "\r\x1b[K[%d/%d] %s  %s %.0f %%%s", p.done, p.total, p.what, at.Phase, 100*at.Done, p.left())
	}
}

// say writes a line that stays.
func (p *progressLine) say(text string) {
	p.end()
	fmt.Fprintln(p.out, text)
}

func (p *progressLine) end() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// left guesses from the runs so far how long the others will take.
func (p *progressLine) left() string {
	if p.done < 2 {
		return ""
	}
	each := time.Since(p.begun) / time.Duration(p.done-1)
	return fmt.Sprintf("  (about %v left)", (each * time.Duration(p.total-p.done+1)).Round(10*time.Second))
}
