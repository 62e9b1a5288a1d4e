package config

import (
	"strings"

	"github.com/redisbak/redisbak/snapshot"
)

// field is one key: its name, and what its value is read into and shown from.
type field struct {
	name string
	kind kind
}

// fields are the keys of the file. The sources come last: they begin as the
// defaults, which must be complete by then.
func (c *Config) fields() []field {
	return []field{
		{"repository", text{&c.Repository, absolute}},
		{"listen", optional{text{&c.Listen, listenAddress}}},
		{"timezone", text{&c.Timezone, zone}},
		{"discover", word[bool]{&c.Discover, []named[bool]{{"labels", true}, {"off", false}}}},
		{"concurrency", number{&c.Concurrency, 1, 100}},
		{"log", section{c.Log.fields()}},
		{"status", section{c.Status.fields()}},
		{"notify", section{c.Notify.fields()}},
		{"defaults", section{c.Defaults.fields()}},
		{"sources", sources{c}},
	}
}

func (l *Log) fields() []field {
	return []field{
		{"level", word[string]{&l.Level, same("debug", "info", "warn", "error")}},
		{"format", word[string]{&l.Format, same("text", "json")}},
	}
}

func (s *Status) fields() []field {
	return []field{
		{"user", text{&s.User, nil}},
		{"password_file", secretFile{to: &s.Password}},
		{"hosts", list[string]{&s.Hosts, hostName}},
	}
}

func (n *Notify) fields() []field {
	return []field{
		{"urls_file", secretFile{to: &n.URLs}},
		{"on", list[Event]{&n.On, event}},
	}
}

// fields are those of a source in the file.
func (s *Source) fields() []field {
	return append(append([]field{
		{"name", text{&s.Name, sourceName}},
		{"container", text{&s.Container, containerName}},
		{"address", text{&s.Address, serverAddress}},
	}, s.Settings.fields()...),
		field{"ping_url", secretURL{&s.Ping}},
		field{"ping_url_file", secretFile{to: &s.Ping, check: urlFault}},
	)
}

// fields are those that the defaults and the sources share.
func (s *Settings) fields() []field {
	return []field{
		{"schedule", schedule{&s.Schedule}},
		{"jitter", span{&s.Jitter, true, "auto", Auto}},
		{"overdue_after", span{&s.OverdueAfter, false, "auto", Auto}},
		{"method", word[string]{&s.Method, same("auto", "rdb", "aof", "rdb,aof", "aof,rdb")}},
		{"no_rewrite", flag{&s.NoRewrite}},
		{"compression", word[snapshot.Compression]{&s.Compression, same(snapshot.Gzip, snapshot.Zstd, snapshot.None)}},
		{"verify", verify{&s.Verify}},
		{"drill", span{&s.Drill, false, "off", 0}},
		{"retention", policy{&s.Retention}},
		{"tags", list[string]{&s.Tags, tag}},
		{"timeout", span{&s.Timeout, false, "off", 0}},
		{"lock_wait", span{&s.LockWait, true, "", 0}},
		{"username", text{&s.Username, nil}},
		{"password_file", secretFile{to: &s.Password, off: true}},
		{"tls", flag{&s.TLS.On}},
		{"tls_ca", filePath{&s.TLS.CA, false}},
		{"tls_cert", filePath{&s.TLS.Cert, false}},
		{"tls_key", filePath{&s.TLS.Key, true}},
		{"tls_server_name", text{&s.TLS.ServerName, hostName}},
		{"tls_insecure", detail{flag{&s.TLS.Insecure}, &s.TLS.On}},
	}
}

// key is one key that the environment can set, by its path in the file.
type key struct {
	path string
	kind kind
}

// keys are all keys below these but the sources', which are only in the file.
func keys(fields []field, above string) []key {
	var all []key
	for _, f := range fields {
		switch k := f.kind.(type) {
		case section:
			all = append(all, keys(k.fields, above+f.name+".")...)
		case sources:
		default:
			all = append(all, key{above + f.name, f.kind})
		}
	}
	return all
}

const variablePrefix = "REDISBAK_"

// variable is the environment variable of a key.
func variable(path string) string {
	if path == "repository" {
		return variablePrefix + "REPO"
	}
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

const (
	fileVariable     = "REDISBAK_CONFIG"   // the path of the file itself, for the command line
	sourcesVariable  = "REDISBAK_SOURCES"  // of which there is none
	passwordVariable = "REDISBAK_PASSWORD" // the secret itself
)

// shortVariables are those that the other commands have: here they set a
// default. The long ones go before them.
func shortVariables() map[string]string {
	return map[string]string{
		"REDISBAK_USERNAME":      "defaults.username",
		"REDISBAK_PASSWORD_FILE": "defaults.password_file",
	}
}

const labelPrefix = "redisbak."

// label is the container's label of a key of a source.
func label(name string) string { return labelPrefix + strings.ReplaceAll(name, "_", "-") }
