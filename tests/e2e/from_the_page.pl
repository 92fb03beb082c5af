#!/usr/bin/perl
# A trainer that was written from docs/trainer.md alone, with Perl's own modules: what a stranger
# makes of the page. It is to pass `allo trainer check`.
use strict; use warnings;
use JSON::PP; use Compress::Zlib qw(crc32); use IO::Select; use IO::Handle; use Time::HiRes qw(clock_gettime time sleep);
my $dir = $ENV{ALLOMETRY_RUN_DIR};
open my $f, '<', "$dir/run.json" or die "run.json: $!"; local $/; my $run = decode_json(<$f>); close $f;
my $attempt = $run->{attempt}; my $id = $run->{identity};
open my $spool, '>>', "$dir/attempt-$attempt/spool" or die; $spool->autoflush(1);
my $seq = 0;
sub say_record { my $json = encode_json({seq => ++$seq, @_}); print $spool sprintf("%08x %s\n", crc32($json), $json); $spool->sync; }
say_record(kind => 'numerics', contract => '1.0', params => $id->{trainer}{size}{params} + 0);
my ($weight, $done) = (1.0, 0);
if (my $start = $run->{start}) {
  my $at = $start->{run_id} ? "$dir/../run-$start->{run_id}" : $dir;
  open my $c, '<', "$at/$start->{file}" or exit(finish('CHECKPOINT', 0)); my $saved = decode_json(<$c>);
  ($weight, $done) = ($saved->{weight}, $saved->{step});
}
my $boot = do { open my $b, '<', '/proc/sys/kernel/random/boot_id'; my $x = <$b>; chomp $x; $x =~ s/\s//g; $x };
my ($deadline, $word, $buffer) = (0, '', '');
my %codes = (SUCCEEDED => 0, DIVERGED => 66, PREEMPTED => 69, CHECKPOINT => 72, CANCELLED_BY_USER => 78);
sub finish { my ($reason, $step) = @_; say_record(kind => 'exit', reason => $reason, message => '', step => $step); return $codes{$reason}; }
sub listen_to_agent {
  my $input = IO::Select->new(\*STDIN);
  while ($input->can_read(0)) {
    my $got = sysread(STDIN, $buffer, 4096, length $buffer);
    exit 75 if !$got;
  }
  while ($buffer =~ s/^([^\n]*)\n//) {
    my @w = split ' ', $1;
    if ($w[0] eq 'lease') { $deadline = $w[1] eq $boot ? $w[3] / 1e9 : clock_gettime(7) + $w[4] / 1e3; } else { $word = $w[0]; }
  }
  exit 75 if $deadline && clock_gettime(7) > $deadline;
}
sub save { my ($step) = @_;
  my $name = sprintf 'attempt-%d/checkpoint-%012d', $attempt, $step; my $json = encode_json({weight => $weight, step => $step});
  open my $c, '>', "$dir/$name.tmp" or die; print $c $json; $c->flush; $c->sync; close $c; rename "$dir/$name.tmp", "$dir/$name" or die;
  say_record(kind => 'checkpoint', step => $step, file => $name, hash => sprintf('%08x', crc32($json)), bytes => length $json);
}
my %evaluate = map { $_ => 1 } @{$run->{evaluation_steps}}; my %keep = map { $_ => 1 } @{$run->{checkpoint_steps} || []};
my $saved_at = time;
for my $step ($done + 1 .. $run->{steps}) {
  $weight *= 0.999; sleep 0.002;
  my $tokens = $step * $id->{batch_tokens};
  say_record(kind => 'point', step => $step, tokens => $tokens, series => 'train', value => 2 + $weight) if $step % $run->{log_every} == 0;
  say_record(kind => 'point', step => $step, tokens => $tokens, series => 'heldout', value => 2.1 + $weight) if $evaluate{$step};
  listen_to_agent();
  if ($word) { save($step); exit finish($word eq 'cancel' ? 'CANCELLED_BY_USER' : 'PREEMPTED', $step); }
  if ($keep{$step} || time - $saved_at > $run->{checkpoint_every_s}) { save($step); $saved_at = time; }
}
exit finish('SUCCEEDED', $run->{steps});
