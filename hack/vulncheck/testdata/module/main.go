// Command module calls what the database beside it says is vulnerable.
package main

import "strings"

func main() { println(strings.Count("a", "a")) }
