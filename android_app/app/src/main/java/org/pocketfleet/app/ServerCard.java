package org.pocketfleet.app;

import android.app.Activity;
import android.app.AlertDialog;
import android.widget.EditText;
import android.widget.Switch;
import android.widget.TextView;
import org.pocketfleet.enrolment.Invitation;

/** Which server, and how it is trusted. */
final class ServerCard implements Card {
  private final Activity activity;
  private final EditText server;
  private final TextView trust;
  private final Switch insecure;

  ServerCard(Activity activity, Runnable open) {
    this.activity = activity;
    server = activity.findViewById(R.id.server);
    trust = activity.findViewById(R.id.trust);
    insecure = activity.findViewById(R.id.insecure);
    activity.findViewById(R.id.open_invitation).setOnClickListener(view -> open.run());
    insecure.setOnClickListener(
        view -> {
          if (insecure.isChecked()) {
            insecure.setChecked(false);
            ask();
          }
        });
  }

  private void ask() {
    new AlertDialog.Builder(activity)
        .setMessage(R.string.insecure_ask)
        .setNegativeButton(R.string.cancel, null)
        .setPositiveButton(R.string.insecure_yes, (dialog, which) -> insecure.setChecked(true))
        .show();
  }

  /** Asks the person whether to trust an invitation. */
  static void ask(Activity activity, Invitation invitation, Runnable accepted) {
    String certificate =
        invitation.ca() == null
            ? "any that Android trusts"
            : Invitation.fingerprint(invitation.ca());
    new AlertDialog.Builder(activity)
        .setMessage(
            activity.getString(
                R.string.invitation_ask,
                invitation.server(),
                certificate,
                Invitation.fingerprint(invitation.trust())))
        .setNegativeButton(R.string.cancel, null)
        .setPositiveButton(R.string.invitation_accept, (dialog, which) -> accepted.run())
        .show();
  }

  @Override
  public void show(Settings settings, Status status) {
    if (!server.hasFocus() && !server.getText().toString().equals(settings.server)) {
      server.setText(settings.server);
    }
    boolean plain = settings.insecure;
    insecure.setChecked(plain);
    String models =
        activity.getString(settings.trust.isEmpty() ? R.string.models_none : R.string.models_key);
    int words =
        plain
            ? R.string.insecure_warning
            : settings.ca.isEmpty() ? R.string.trust_system : R.string.trust_own;
    boolean nothing = !plain && settings.ca.isEmpty() && settings.trust.isEmpty();
    trust.setText(
        nothing
            ? activity.getString(R.string.trust_none)
            : activity.getString(words) + "\n" + models);
    trust.setTextColor(activity.getColor(plain ? R.color.problem : R.color.text_second));
  }

  @Override
  public void collect(Settings.Builder settings) {
    settings.server = server.getText().toString().trim();
    settings.insecure = insecure.isChecked();
  }
}
