#!/bin/sh
# data.sh prints the demo's data as commands for redis-cli: keys of every kind, in three databases.
set -eu

awk -v now="$(date +%s)" 'BEGIN {
	for (i = 1; i <= 1000; i++) {
		printf "HSET user:%d name \"Name %d, the \\\"%dth\\\"\" mail user%d@example.org visits %d\n", i, i, i, i, i * 7
		printf "SET session:%d \"{\\\"user\\\":%d,\\\"csrf\\\":\\\"%08x\\\"}\"\n", i, i, i * 7919
		printf "EXPIREAT session:%d %.0f\n", i, now + 3600 + i
		printf "INCRBY page:%d %d\n", i, i * i
	}
	for (i = 1; i <= 500; i++) {
		printf "RPUSH queue:mail \"{\\\"to\\\":%d,\\\"subject\\\":\\\"Hello\\\"}\"\n", i
		printf "SADD online %d member-%d\n", i * 3, i
		printf "ZADD board %d.5 player-%d\n", i * 11, i
		printf "HSET big field-%d value-%d\n", i, i
		printf "PFADD visitors visitor-%d\n", i
		printf "SETBIT active %d 1\n", i * i
		printf "XADD orders 1700000%03d000-%d order %d amount %d.99\n", i, i % 3, i, i
	}
	for (i = 1; i <= 200; i++) {
		printf "SADD tags:%d red green %d\n", i, i
		printf "ZADD scores:%d 1 ann %d bob -0.25 cleo\n", i, i
		printf "RPUSH list:%d a b c %d\n", i, i
	}
	print "GEOADD shops 13.361389 38.115556 Palermo 15.087269 37.502669 Catania"
	print "SET empty \"\""
	print "SET binary \"\\x00\\x01\\xfe\\xff\\r\\n\""
	print "SETRANGE blob 1000000 end"
	print "XGROUP CREATE orders billing 0"
	print "XREADGROUP GROUP billing anna COUNT 40 STREAMS orders >"
	print "XREADGROUP GROUP billing bert COUNT 25 STREAMS orders >"
	for (i = 1; i <= 30; i++) printf "XACK orders billing 1700000%03d000-%d\n", i, i % 3
	print "XGROUP CREATE orders shipping $"
	printf "PEXPIREAT board %.0f123\n", now + 86400

	print "SELECT 1"
	for (i = 1; i <= 300; i++) printf "SET lock:%d held PX %d\n", i, 7200000 + i
	print "SELECT 9"
	for (i = 1; i <= 300; i++) printf "SET cache:%d \"page %d\"\n", i, i
}'
