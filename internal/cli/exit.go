package cli

// The exit codes of the command line, as contract and scripts know them (sysexits).
const (
	exitUsage = 64 // unknown command or flag, wrong arguments
	exitData  = 65 // input that cannot be read as what it should be
)

// codedError is an error that asks for its own exit code instead of 1.
type codedError struct {
	error
	code int
}

// ExitCode is what main exits with.
func (e codedError) ExitCode() int { return e.code }

// Unwrap gives errors.Is and errors.As the cause.
func (e codedError) Unwrap() error { return e.error }

// usageError marks err as the caller's misuse of the command line.
func usageError(err error) error {
	if err == nil {
		return nil
	}
	return codedError{error: err, code: exitUsage}
}

// silent ends with a code when everything has been said already.
func silent(code int) error { return silentError{code} }

// silentError has no text: main prints nothing for it.
type silentError struct{ code int }

func (silentError) Error() string { return "" }

// ExitCode is what main exits with.
func (e silentError) ExitCode() int { return e.code }
