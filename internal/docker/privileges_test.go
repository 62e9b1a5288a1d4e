package docker

import "testing"

func TestGuardGivesPrivilegesBackToRootsVerifierOnly(t *testing.T) {
	with := func(kind template, user string, add ...string) request {
		r := rightful(kind)
		r.config.User, r.host.CapAdd = user, add
		return r
	}
	for _, user := range []string{"0:0", "0:999"} {
		if err := checkRequest(verifierBoot, with(verifierBoot, user, "CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")); err != nil {
			t.Errorf("%s: %v", user, err)
		}
	}
	for what, r := range map[string]struct {
		kind template
		request
	}{
		"another user":       {verifierBoot, with(verifierBoot, "999:0", "CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")},
		"more":               {verifierBoot, with(verifierBoot, "0:0", "CHOWN", "DAC_OVERRIDE", "FOWNER", "NET_ADMIN", "SETGID", "SETUID")},
		"none for root":      {verifierBoot, with(verifierBoot, "0:0")},
		"a helper":           {helperWrite, with(helperWrite, "", "DAC_OVERRIDE")},
		"a recovery's":       {recoveryBoot, with(recoveryBoot, "0:0", "CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")},
		"a helper of root's": {helperRead, with(helperRead, "0:0", "CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")},
	} {
		if err := checkRequest(r.kind, r.request); !refused(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
