package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const mit = `Copyright (c) 2020 The Authors

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
`

const addition = `Notwithstanding the above, nobody may use this on Tuesdays, and whoever uses it on any other
day of the week owes the authors a fee for each use, payable in advance, as well as a share of whatever is earned by it,
and consents to being named in public as somebody who does. These terms go before all others, wherever they differ.`

func TestRead(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		want  dependency
	}{
		"a licence":          {map[string]string{"LICENSE": mit}, dependency{Licences: []string{"MIT"}}},
		"by another name":    {map[string]string{"Licence.txt": mit}, dependency{Licences: []string{"MIT"}}},
		"none":               {map[string]string{"README": mit, "NOTICE": "thanks"}, dependency{}},
		"code called so":     {map[string]string{"license.go": "package x"}, dependency{}},
		"something unknown":  {map[string]string{"COPYING": "Ask me."}, dependency{Unknown: []string{"COPYING"}}},
		"known, with more":   {map[string]string{"LICENSE": mit + addition}, dependency{Licences: []string{"MIT"}, Unknown: []string{"LICENSE"}}},
		"one and an unknown": {map[string]string{"LICENSE": mit, "LICENSE-docs": "Ask me."}, dependency{Licences: []string{"MIT"}, Unknown: []string{"LICENSE-docs"}}},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			for file, text := range tc.files {
				if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var got dependency
			if err := got.read(folder); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestJudgeNamesFindings(t *testing.T) {
	err := judge([]dependency{
		{Module: "good", Licences: []string{"MIT", "Apache-2.0"}},
		{Module: "copyleft", Licences: []string{"GPL-3.0", "MIT"}},
		{Module: "silent"},
		{Module: "strange", Licences: []string{"MIT"}, Unknown: []string{"COPYING"}},
	})
	if err == nil || strings.Contains(err.Error(), "good") {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"copyleft: GPL-3.0 is not among those allowed", "silent: no licence", "strange: COPYING is no licence"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
}

func TestBetween(t *testing.T) {
	if diff := cmp.Diff([]string{"/m/a/b", "/m/a", "/m"}, between("/m", "/m/a/b")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
