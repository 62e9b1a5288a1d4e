package docker

import "testing"

// What the engine makes in the place of a scratch volume that went in that very
// moment carries its labels, so that the sweep finds it; in the place of anybody
// else's it must not, for the sweep would take it away.
func TestAVolumeThatIsMadeAnewIsSweptOnlyWhereItWasOurs(t *testing.T) {
	run := Owner{RoleHelper, "0123456789abcdef0123456789abcdef", "0123456789abcdef"}
	scratch, other, user := run, run, run
	scratch.Role, other.Role, other.Run, user.Role = RoleVerify, RoleVerify, "fedcba9876543210", RoleRecovery
	for name, c := range map[string]struct {
		labels map[string]string
		swept  bool
	}{
		"our scratch volume":     {scratch.labels(), true},
		"that of another run":    {other.labels(), false},
		"a recovery volume":      {user.labels(), false},
		"a volume of the user's": {map[string]string{"com.example": "1"}, false},
		"one without labels":     {nil, false},
	} {
		labels := madeLabels(Volume{Labels: c.labels}, run)
		if labels[labelMade] == "" || !allowedLabels(labels) {
			t.Errorf("%s: %v", name, labels)
		}
		if _, swept := leftover(labels, run.Repo, func(string) bool { return true }); swept != c.swept {
			t.Errorf("%s: swept %v, labels %v", name, swept, labels)
		}
	}
	for _, wrong := range []map[string]string{{"a": "b"}, {labelMade: "x", "a": "b"}, scratch.labels(), user.labels()} {
		if allowedLabels(wrong) {
			t.Errorf("allowed: %v", wrong)
		}
	}
	recovery := user.labels()
	recovery[labelMade] = "x"
	if allowedLabels(recovery) {
		t.Errorf("allowed: %v", recovery)
	}
}
