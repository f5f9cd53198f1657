package server

import "strings"

// words splits text as a shell does, quotes and backslashes heeded, and nothing
// expanded. ok is false where a quote is not closed.
func words(text string) (list []string, ok bool) {
	commands, ok := split(text, false)
	if !ok {
		return nil, false
	}
	return commands[0], true
}

// simple splits a script into its commands: at line ends, semicolons and &&.
// ok is false for what is more than a list of commands: pipes, alternatives,
// background jobs, subshells, redirections and substituted commands. There is
// at least one command, which may be empty.
func simple(script string) (commands [][]string, ok bool) { return split(script, true) }

// splitter is a small part of a shell's lexer.
type splitter struct {
	commands [][]string
	current  []string
	word     strings.Builder
	begun    bool // a word, which may be empty: ''
}

func split(text string, script bool) (commands [][]string, ok bool) {
	var s splitter
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case b == '\\' && i+1 < len(text):
			i++
			if text[i] != '\n' {
				s.add(text[i])
			}
		case b == '\'' || b == '"':
			end := closing(text, i)
			if end < 0 || script && b == '"' && strings.ContainsAny(text[i:end], "`(") {
				return nil, false
			}
			s.quoted(text[i+1:end], b)
			i = end
		case script && (b == ';' || b == '\n'):
			s.endCommand()
		case script && strings.HasPrefix(text[i:], "&&"):
			s.endCommand()
			i++
		case script && strings.ContainsRune("&|()<>`", rune(b)):
			return nil, false
		case b == ' ' || b == '\t' || b == '\n':
			s.endWord()
		default:
			s.add(b)
		}
	}
	s.endCommand()
	if len(s.commands) == 0 {
		return [][]string{nil}, true
	}
	return s.commands, true
}

// closing is where the quote that opens at a place is closed, -1 if nowhere.
func closing(text string, open int) int {
	for i := open + 1; i < len(text); i++ {
		switch {
		case text[i] == text[open]:
			return i
		case text[i] == '\\' && text[open] == '"':
			i++
		}
	}
	return -1
}

func (s *splitter) add(b byte) {
	s.begun = true
	s.word.WriteByte(b)
}

func (s *splitter) quoted(text string, quote byte) {
	s.begun = true
	if quote == '"' {
		text = strings.NewReplacer(`\"`, `"`, `\\`, `\`, "\\\n", "").Replace(text)
	}
	s.word.WriteString(text)
}

func (s *splitter) endWord() {
	if s.begun {
		s.current = append(s.current, s.word.String())
		s.word.Reset()
		s.begun = false
	}
}

func (s *splitter) endCommand() {
	s.endWord()
	if len(s.current) > 0 {
		s.commands = append(s.commands, s.current)
		s.current = nil
	}
}
