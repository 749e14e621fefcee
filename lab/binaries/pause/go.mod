module github.com/isthmus-mesh/isthmus/lab/binaries/pause

go 1.26.0
