// Reads the answer of a streamed remote read (Prometheus' ChunkedReadResponse frames) on stdin with Prometheus' own decoders of
// chunks, and prints its series as JSON: {"query", "labels", "floats": [[t, bits of v in hex]], "hists": [[t, text]]}.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"math"
	"os"

	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

type series struct {
	Query  int64             `json:"query"`
	Labels map[string]string `json:"labels"`
	Floats [][2]any          `json:"floats"`
	Hists  [][2]any          `json:"hists"`
	Chunks int               `json:"chunks"`
}

func main() {
	in, out := bufio.NewReader(os.Stdin), []*series{}
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	for {
		size, err := binary.ReadUvarint(in)
		if err == io.EOF {
			break
		}
		check(err)
		var sum uint32
		check(binary.Read(in, binary.BigEndian, &sum))
		data := make([]byte, size)
		_, err = io.ReadFull(in, data)
		check(err)
		if crc32.Checksum(data, castagnoli) != sum {
			log.Fatal("wrong checksum")
		}
		var r prompb.ChunkedReadResponse
		check(r.Unmarshal(data))
		for _, s := range r.ChunkedSeries {
			out = append(out, read(r.QueryIndex, s))
		}
	}
	check(json.NewEncoder(os.Stdout).Encode(out))
}

func read(query int64, s *prompb.ChunkedSeries) *series {
	o := &series{Query: query, Labels: map[string]string{}, Floats: [][2]any{}, Hists: [][2]any{}, Chunks: len(s.Chunks)}
	for _, l := range s.Labels {
		o.Labels[l.Name] = l.Value
	}
	for _, c := range s.Chunks {
		chunk, err := chunkenc.FromData(chunkenc.Encoding(c.Type), c.Data)
		check(err)
		it := chunk.Iterator(nil)
		first, last := int64(math.MaxInt64), int64(math.MinInt64)
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			t := it.AtT()
			first, last = min(first, t), max(last, t)
			if kind == chunkenc.ValFloat {
				_, v := it.At()
				o.Floats = append(o.Floats, [2]any{t, fmt.Sprintf("%016x", math.Float64bits(v))})
			} else {
				_, h := it.AtFloatHistogram(nil)
				o.Hists = append(o.Hists, [2]any{t, h.TestExpression()})
			}
		}
		check(it.Err())
		if first != c.MinTimeMs || last != c.MaxTimeMs {
			log.Fatalf("a chunk of [%d, %d] says [%d, %d]", first, last, c.MinTimeMs, c.MaxTimeMs)
		}
	}
	return o
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
