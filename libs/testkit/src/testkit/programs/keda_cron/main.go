// keda-cron evaluates cron triggers by the rule of KEDA's cron scaler, with the cron library that KEDA uses.
//
// Input (JSON on stdin): {"sets": [{"from": unix, "to": unix, "every": bool, "triggers": [{"timezone", "start", "end",
// "replicas"}]}]}. For every whole minute from `from` up to `to` the largest `replicas` of the active triggers is taken;
// output are the minutes at which it changes, "unix replicas" a line, beginning with the first of each set.
// `every` asks the library at every minute; else again only after the edge that it last named.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/robfig/cron/v3"
)

type trigger struct {
	Timezone, Start, End string
	Replicas             int
	location             *time.Location
	start, end           cron.Schedule
	nextStart, nextEnd   time.Time
}

type set struct {
	From, To int64
	Every    bool
	Triggers []*trigger
}

func (t *trigger) prepare() error {
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	var err error
	if t.location, err = time.LoadLocation(t.Timezone); err != nil {
		return err
	}
	if t.start, err = parser.Parse(t.Start); err != nil {
		return err
	}
	if t.end, err = parser.Parse(t.End); err != nil {
		return err
	}
	if t.Start == t.End {
		return fmt.Errorf("start and end are both %q", t.Start)
	}
	return nil
}

// active is KEDA's rule: of the next start and the next end, the end comes first.
func (t *trigger) active(now time.Time, every bool) bool {
	now = now.In(t.location)
	if every || !now.Before(t.nextStart) {
		t.nextStart = t.start.Next(now)
	}
	if every || !now.Before(t.nextEnd) {
		t.nextEnd = t.end.Next(now)
	}
	return !t.nextEnd.After(t.nextStart)
}

func main() {
	var input struct{ Sets []set }
	if err := json.NewDecoder(os.Stdin).Decode(&input); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, each := range input.Sets {
		for _, one := range each.Triggers {
			if err := one.prepare(); err != nil {
				fmt.Fprintf(os.Stderr, "%s %q %q: %v\n", one.Timezone, one.Start, one.End, err)
				os.Exit(2)
			}
		}
		last := -1
		for at := each.From; at < each.To; at += 60 {
			now, floor := time.Unix(at, 0), 0
			for _, one := range each.Triggers {
				if one.active(now, each.Every) && one.Replicas > floor {
					floor = one.Replicas
				}
			}
			if floor != last {
				fmt.Fprintln(out, at, floor)
				last = floor
			}
		}
	}
}
