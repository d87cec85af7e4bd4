package load

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Table is rows under a header, all with the same number of cells.
type Table struct {
	Header []string
	Rows   [][]string
	Text   int // how many columns, from the left, are text; the others are figures
}

// WriteText writes the table in aligned columns, for a terminal.
func (t Table) WriteText(w io.Writer) error {
	widths := t.widths()
	var b strings.Builder
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(padded(cell, widths[i], i >= t.Text))
			line.WriteString("  ")
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteMarkdown writes the table as a GitHub table, aligned in its source too.
func (t Table) WriteMarkdown(w io.Writer) error {
	widths := t.widths()
	var b strings.Builder
	line := func(row []string) {
		for i, cell := range row {
			b.WriteString("| " + padded(cell, widths[i], i >= t.Text) + " ")
		}
		b.WriteString("|\n")
	}
	line(t.Header)
	for i, width := range widths {
		if i < t.Text {
			b.WriteString("|" + strings.Repeat("-", width+2))
		} else {
			b.WriteString("|" + strings.Repeat("-", width+1) + ":")
		}
	}
	b.WriteString("|\n")
	for _, row := range t.Rows {
		line(row)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t Table) widths() []int {
	widths := make([]int, len(t.Header))
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

func padded(s string, width int, right bool) string {
	space := strings.Repeat(" ", width-utf8.RuneCountInString(s))
	if right {
		return space + s
	}
	return s + space
}
