package load

// Process reads what a process of this machine has used. The zero value, and any
// on a platform that cannot tell, knows nothing.
type Process struct{ pid int }

// ProcessOf returns the process with that id.
func ProcessOf(pid int) Process { return Process{pid: pid} }
