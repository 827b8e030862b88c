// Reads a log as JSON from standard input and checks it with Go's own sumdb packages: the checkpoint's signature, every
// tile against the signed root, every entry against its tile, and the inclusion and consistency proofs of the service.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type input struct {
	Key         string
	Checkpoints []string
	Tiles       map[string][]byte
	Entries     [][]byte
	Inclusion   map[int64][][]byte
	Consistency [][][]byte
}

type tiles map[string][]byte

func (t tiles) Height() int { return 8 }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		path := strings.TrimPrefix(tile.Path(), "tile/8/")
		data, ok := t[path]
		if !ok {
			return nil, fmt.Errorf("no tile %s", path)
		}
		found = append(found, data)
	}
	return found, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func proof(hashes [][]byte) []tlog.Hash {
	made := make([]tlog.Hash, len(hashes))
	for i, hash := range hashes {
		copy(made[i][:], hash)
	}
	return made
}

func open(text string, verifier note.Verifier) tlog.Tree {
	opened, err := note.Open([]byte(text), note.VerifierList(verifier))
	if err != nil {
		log.Fatal(err)
	}
	lines := strings.Split(opened.Text, "\n")
	if lines[0] != verifier.Name() {
		log.Fatalf("origin %s, key %s", lines[0], verifier.Name())
	}
	var tree tlog.Tree
	if _, err := fmt.Sscan(lines[1], &tree.N); err != nil {
		log.Fatal(err)
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || copy(tree.Hash[:], root) != tlog.HashSize {
		log.Fatal("root ", lines[2], err)
	}
	return tree
}

func main() {
	var in input
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		log.Fatal(err)
	}
	verifier, err := note.NewVerifier(in.Key)
	if err != nil {
		log.Fatal(err)
	}
	var trees []tlog.Tree
	for _, text := range in.Checkpoints {
		trees = append(trees, open(text, verifier))
	}
	tree := trees[len(trees)-1]
	reader := tlog.TileHashReader(tree, tiles(in.Tiles))
	if int64(len(in.Entries)) != tree.N {
		log.Fatalf("%d entries in a tree of %d", len(in.Entries), tree.N)
	}
	for i, entry := range in.Entries {
		hashes, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(i))})
		if err != nil {
			log.Fatal(err)
		}
		if hashes[0] != tlog.RecordHash(entry) {
			log.Fatalf("entry %d is not that of its tile", i)
		}
	}
	for i, hashes := range in.Inclusion {
		if err := tlog.CheckRecord(proof(hashes), tree.N, tree.Hash, i, tlog.RecordHash(in.Entries[i])); err != nil {
			log.Fatal("inclusion of ", i, ": ", err)
		}
	}
	for i, hashes := range in.Consistency {
		if err := tlog.CheckTree(proof(hashes), tree.N, tree.Hash, trees[i].N, trees[i].Hash); err != nil {
			log.Fatal("consistency of ", trees[i].N, ": ", err)
		}
	}
	fmt.Printf("%d entries, %d inclusion and %d consistency proofs hold\n", tree.N, len(in.Inclusion), len(in.Consistency))
}
