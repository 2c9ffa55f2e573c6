package org.pocketfleet.app;

import android.app.Activity;
import android.view.View;
import android.widget.Button;
import android.widget.ProgressBar;
import android.widget.TextView;
import org.pocketfleet.app.Status.Phase;

/** What the client is doing, and the one big button. */
final class StatusCard implements Card {
  private final TextView headline;
  private final TextView detail;
  private final ProgressBar progress;
  private final Button start;

  StatusCard(Activity activity, Runnable toggle) {
    headline = activity.findViewById(R.id.headline);
    detail = activity.findViewById(R.id.detail);
    progress = activity.findViewById(R.id.progress);
    start = activity.findViewById(R.id.start);
    start.setOnClickListener(view -> toggle.run());
  }

  @Override
  public void show(Settings settings, Status status) {
    String missing = status.phase == Phase.STOPPED ? missing(settings) : "";
    boolean set = missing.isEmpty();
    put(headline, set ? status.headline() : "Not set up yet");
    put(detail, set ? status.detail() : missing);
    detail.setVisibility(detail.length() == 0 ? View.GONE : View.VISIBLE);
    boolean problem = status.phase == Phase.FAILED || status.phase == Phase.TROUBLE;
    headline.setTextColor(headline.getContext().getColor(problem ? R.color.problem : R.color.text));
    boolean working = status.phase == Phase.WORKING && status.steps > 0;
    progress.setVisibility(working ? View.VISIBLE : View.GONE);
    progress.setMax((int) Math.min(Math.max(status.steps, 1), Integer.MAX_VALUE));
    progress.setProgress((int) status.step);
    start.setText(status.running() ? R.string.stop : R.string.start);
  }

  /** Changes a text only if it is another: a screen reader reads every change aloud. */
  private static void put(TextView view, String text) {
    if (!view.getText().toString().equals(text)) {
      view.setText(text);
    }
  }

  /** What has to be done before it can start; empty: nothing. */
  static String missing(Settings settings) {
    if (settings.server.isEmpty()) {
      return "Open the invitation that the server's operator sent you.";
    }
    if (settings.trust.isEmpty() && settings.bundle.isEmpty()) {
      return "Open an invitation: without its key this phone accepts no model.";
    }
    return settings.data.isEmpty() ? "Choose training data. It stays on this phone." : "";
  }
}
