package org.pocketfleet.app;

import org.pocketfleet.client.ClientListener;
import org.pocketfleet.message.Reply;
import org.pocketfleet.message.Task;

/** Passes what a client tells on to several. */
final class Listeners implements ClientListener {
  private final ClientListener[] all;

  Listeners(ClientListener... all) {
    this.all = all.clone();
  }

  @Override
  public void connected() {
    for (ClientListener each : all) {
      each.connected();
    }
  }

  @Override
  public void waiting(double waitSeconds) {
    for (ClientListener each : all) {
      each.waiting(waitSeconds);
    }
  }

  @Override
  public void working(Task task) {
    for (ClientListener each : all) {
      each.working(task);
    }
  }

  @Override
  public void finished(Task task, Reply reply, String problem) {
    for (ClientListener each : all) {
      each.finished(task, reply, problem);
    }
  }

  @Override
  public void sent() {
    for (ClientListener each : all) {
      each.sent();
    }
  }

  @Override
  public void trouble(String words) {
    for (ClientListener each : all) {
      each.trouble(words);
    }
  }
}
