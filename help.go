package main

import (
	"fmt"

	"github.com/spf13/pflag"
)

// helpColumns is the width of the help: of a terminal, not of a file.
const helpColumns = 110

// printHelp says what the flags are, in the order in which they were added.
func printHelp(flags *pflag.FlagSet) {
	fmt.Fprintf(flags.Output(), `drain-operator keeps pods alive until their work is done.

Usage: drain-operator --agent-image=registry/name@sha256:... [flags]

Flags:
%s`, flags.FlagUsagesWrapped(helpColumns))
}
