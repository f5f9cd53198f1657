module github.com/drain-operator/drain-operator

go 1.26.0
