// A server that speaks Redis's protocol and keeps everything in memory: the LiveKit server wants one
// to keep its SIP trunks and dispatch rules in. It ends with its standard input.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/alicebob/miniredis/v2"
)

func main() {
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr("127.0.0.1:0"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(server.Addr())
	io.Copy(io.Discard, os.Stdin)
	server.Close()
}
