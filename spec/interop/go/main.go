// The official Go SDK beside temporal-lua, as client and as worker.
//
//	go run . check TEMPORAL_LUA_BINARY     TAP: cases against our server, our worker and our replayer
//	go run . load ADDRESS [options]        workflows per second with the SDK as client and worker, as JSON
//	go run . worker ADDRESS QUEUE          the worker of load alone, until it is told to stop
//	go run . replay ADDRESS [options]      events per second of the SDK's replayer, as JSON
//	go run . record ADDRESS FOLDER         the fixtures of spec/fixtures/histories/go (the server needs the search
//	                                       attribute Note=Keyword)
package main

import (
	"fmt"
	"os"
)

func main() {
	verb := ""
	if len(os.Args) > 1 {
		verb = os.Args[1]
	}
	switch {
	case verb == "check" && len(os.Args) == 3:
		os.Exit(check(os.Args[2]))
	case verb == "load" && len(os.Args) >= 3:
		os.Exit(load(os.Args[2], os.Args[3:]))
	case verb == "worker" && len(os.Args) == 4:
		os.Exit(stepsOnly(os.Args[2], os.Args[3]))
	case verb == "replay" && len(os.Args) >= 3:
		os.Exit(replay(os.Args[2], os.Args[3:]))
	case verb == "record" && len(os.Args) == 4:
		os.Exit(record(os.Args[2], os.Args[3]))
	default:
		fmt.Fprintln(os.Stderr, "usage: check TEMPORAL_LUA_BINARY | load ADDRESS [options] | worker ADDRESS QUEUE"+
			" | replay ADDRESS [options] | record ADDRESS FOLDER")
		os.Exit(2)
	}
}
