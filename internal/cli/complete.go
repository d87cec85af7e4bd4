package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"ringdown/internal/config"
)

// Completion of values by the shell: what ringdown completion sets up asks these.

func words(list ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp)
}

func completeYAML(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// completeChannels offers the channels that the configuration declares: that of
// the command line, or the default one. A pattern is offered up to its first
// parameter.
func completeChannels(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	none := cobra.ShellCompDirectiveNoFileComp
	file := defaultConfig
	if len(args) > 0 && looksLikeFile(args[0]) {
		file = args[0]
	}
	conf, err := config.Load(file, config.LoadOptions{})
	if err != nil {
		return nil, none
	}
	var names []string
	for _, d := range conf.Channels {
		name, _, pattern := strings.Cut(d.Name, "{")
		if pattern {
			none |= cobra.ShellCompDirectiveNoSpace
		}
		if name != "" && name != "*" && strings.HasPrefix(name, typed) {
			names = append(names, name)
		}
	}
	return names, none
}

// completeFirstChannel is for commands whose first argument is a channel.
func completeFirstChannel(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeChannels(c, nil, typed)
}

func completeDirectory(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func completeChannelsOnly(c *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return completeChannels(c, nil, typed)
}
