// Judges recorded histories with porcupine, a linearizability checker that nobody of this project wrote.
//
//	go run . history.jsonl
//
// Every line is one operation on one register of versions or of stock:
//
//	{"model":"versions","key":"product 7","client":3,"call":120,"return":188,"op":"put","arg":4,"result":"ok","value":5}
//
// Times are nanoseconds of one monotonic clock. An operation whose outcome nobody learned has the result "unknown"; it may have
// taken effect at any time after its call, or never.
//
// Exit status: 0 linearizable, 1 not, 2 the history can't be read, 3 not decided within a minute.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

type operation struct {
	Model  string `json:"model"`
	Key    string `json:"key"`
	Client int    `json:"client"`
	Call   int64  `json:"call"`
	Return int64  `json:"return"`
	Op     string `json:"op"`
	Arg    int64  `json:"arg"`
	Result string `json:"result"`
	Value  int64  `json:"value"`
}

// versions: a stream that is appended to under the condition that its version is `arg`. The state is the version.
//
//	put arg: ok, and the version is `value` now · refused, since the version was another · unknown
//	read: the version was `value`
func versions(state int64, o operation) []int64 {
	switch {
	case o.Op == "read" && state == o.Value:
		return []int64{state}
	case o.Op == "put" && o.Result == "ok" && state == o.Arg && o.Value == state+1:
		return []int64{state + 1}
	case o.Op == "put" && o.Result == "refused" && state != o.Arg:
		return []int64{state}
	case o.Op == "put" && o.Result == "unknown" && state == o.Arg:
		return []int64{state, state + 1}
	case o.Op == "put" && o.Result == "unknown":
		return []int64{state}
	}
	return nil
}

// stock: pieces that can be reserved. The state is how many there are.
//
//	set: there are `arg` · reserve arg: ok, they were there · refused, they were not · unknown
//	release arg: reserved ones come back · read: there were `value`
func stock(state int64, o operation) []int64 {
	switch {
	case o.Op == "set" && o.Result == "ok":
		return []int64{o.Arg}
	case o.Op == "reserve" && o.Result == "ok" && state >= o.Arg:
		return []int64{state - o.Arg}
	case o.Op == "reserve" && o.Result == "refused" && state < o.Arg:
		return []int64{state}
	case o.Op == "reserve" && o.Result == "unknown" && state >= o.Arg:
		return []int64{state, state - o.Arg}
	case o.Op == "reserve" && o.Result == "unknown":
		return []int64{state}
	case o.Op == "release" && o.Result == "ok":
		return []int64{state + o.Arg}
	case o.Op == "release" && o.Result == "unknown":
		return []int64{state, state + o.Arg}
	case o.Op == "read" && state == o.Value:
		return []int64{state}
	}
	return nil
}

func model(step func(int64, operation) []int64) porcupine.Model {
	nondeterministic := porcupine.NondeterministicModel{
		Init: func() []interface{} { return []interface{}{int64(0)} },
		Step: func(state, input, _ interface{}) []interface{} {
			var next []interface{}
			for _, s := range step(state.(int64), input.(operation)) {
				next = append(next, s)
			}
			return next
		},
	}
	return nondeterministic.ToModel()
}

func read(path string) (map[[2]string][]porcupine.Operation, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	registers := map[[2]string][]porcupine.Operation{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var o operation
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&o); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		end := o.Return
		if o.Result == "unknown" {
			end = math.MaxInt64
		}
		if end < o.Call {
			return nil, fmt.Errorf("line %d returns before it is called", n)
		}
		register := [2]string{o.Model, o.Key}
		registers[register] = append(registers[register], porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Call, Return: end})
	}
	return registers, lines.Err()
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: linearizability HISTORY")
		os.Exit(2)
	}
	registers, err := read(os.Args[1])
	if err == nil && len(registers) == 0 {
		err = fmt.Errorf("no operation in it")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "linearizability: %s: %v\n", os.Args[1], err)
		os.Exit(2)
	}
	models := map[string]porcupine.Model{"versions": model(versions), "stock": model(stock)}
	names := make([][2]string, 0, len(registers))
	for name := range registers {
		names = append(names, name)
	}
	sort.Slice(names, func(a, b int) bool { return names[a][0]+names[a][1] < names[b][0]+names[b][1] })
	status := 0
	for _, name := range names {
		known, ok := models[name[0]]
		if !ok {
			fmt.Fprintf(os.Stderr, "linearizability: no model is called %q\n", name[0])
			os.Exit(2)
		}
		switch porcupine.CheckOperationsTimeout(known, registers[name], time.Minute) {
		case porcupine.Ok:
			fmt.Printf("linearizable: %s of %s, %d operations\n", name[0], name[1], len(registers[name]))
		case porcupine.Illegal:
			fmt.Printf("NOT linearizable: %s of %s, %d operations\n", name[0], name[1], len(registers[name]))
			status = 1
		case porcupine.Unknown:
			fmt.Printf("not decided within a minute: %s of %s, %d operations\n", name[0], name[1], len(registers[name]))
			if status == 0 {
				status = 3
			}
		}
	}
	os.Exit(status)
}
