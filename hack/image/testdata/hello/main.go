// Command hello is what the tests put into images.
package main

func main() { println("hello") }
