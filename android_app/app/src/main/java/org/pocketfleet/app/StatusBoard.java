package org.pocketfleet.app;

import java.util.Locale;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArraySet;
import org.pocketfleet.app.Status.Phase;
import org.pocketfleet.client.ClientListener;
import org.pocketfleet.message.Records;
import org.pocketfleet.message.Reply;
import org.pocketfleet.message.Task;

/** Turns what the client tells into a {@link Status}, and tells whoever shows it. */
final class StatusBoard implements ClientListener {
  /** How the client begins its answer where the phone's conditions are the reason. */
  static final String DECLINED = "declined: ";

  private final Set<Runnable> watchers = new CopyOnWriteArraySet<>();
  private volatile Status status = Status.STOPPED;

  /** What the client is doing now. */
  Status status() {
    return status;
  }

  /** Calls {@code watcher} after every change, on whichever thread made it. */
  void watch(Runnable watcher) {
    watchers.add(watcher);
  }

  /** Calls it no more. */
  void unwatch(Runnable watcher) {
    watchers.remove(watcher);
  }

  /** The client begins. */
  void starting() {
    set(Phase.STARTING, "");
  }

  /** The client has ended as it should, for a reason worth telling or none (empty). */
  void stopped(String words) {
    set(Phase.STOPPED, words);
  }

  /** The client has ended for a reason. */
  void failed(String words) {
    set(Phase.FAILED, words);
  }

  /** A step of training is done. */
  void step(long done, long planned) {
    Status now = status;
    if (now.phase == Phase.WORKING) {
      set(new Status(Phase.WORKING, now.task, now.round, done, planned, ""));
    }
  }

  @Override
  public void connected() {
    set(Phase.WAITING, "");
  }

  @Override
  public void waiting(double waitSeconds) {
    // A polling client waits again and again; a word about the last task stays until there is
    // another.
    Phase phase = status.phase;
    if (phase == Phase.STARTING || phase == Phase.TROUBLE || phase == Phase.WORKING) {
      set(Phase.WAITING, "");
    }
  }

  @Override
  public void working(Task task) {
    // A question is answered in no time, and is nothing to show.
    if (!task.kind().equals(Records.QUERY)) {
      set(new Status(Phase.WORKING, task.kind(), task.round(), 0, 0, ""));
    }
  }

  @Override
  public void finished(Task task, Reply reply, String problem) {
    if (problem != null) {
      boolean declined = problem.startsWith(DECLINED);
      set(
          declined ? Phase.DECLINED : Phase.TROUBLE,
          declined ? sentence(problem.substring(DECLINED.length())) : problem);
    } else if (!task.kind().equals(Records.QUERY)) {
      set(Phase.WAITING, "Round " + task.round() + " is done.");
    }
  }

  @Override
  public void sent() {}

  @Override
  public void trouble(String words) {
    set(Phase.TROUBLE, words);
  }

  private static String sentence(String words) {
    return words.isEmpty()
        ? ""
        : words.substring(0, 1).toUpperCase(Locale.ROOT) + words.substring(1) + ".";
  }

  private void set(Phase phase, String words) {
    set(new Status(phase, status.task, status.round, 0, 0, words));
  }

  private void set(Status next) {
    status = next;
    for (Runnable watcher : watchers) {
      watcher.run();
    }
  }
}
