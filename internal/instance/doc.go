// Package instance joins what redisbak knows of Docker, of a live server and of
// the bytes that servers write: an Instance is one Redis server in one
// container on one volume or bind mount.
//
// It implements what the use cases ask for: Instance is a backup.Source, Lab a
// verify.Lab, Target a restore.Target. A capture method is one file here.
//
// It promises that a capture is the data of the server in this container, as
// they were at or after the request, and that nothing is written into the
// source's volume, changed in its configuration or left running in it. It
// decides nothing about the repository.
package instance
